"""A small API as the FastAPI tutorial writes it. It knows nothing of slots or versions."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def front() -> dict[str, str]:
    return {"message": "Hello"}


@app.get("/items")
def items() -> list[str]:
    return ["tea", "coffee"]


@app.get("/items/{number}")
def item(number: int) -> dict[str, int]:
    return {"number": number}


@app.post("/items")
def add() -> dict[str, bool]:
    return {"added": True}


@app.get("/healthz")
def health() -> dict[str, str]:
    return {"status": "ok", "version": "0.1.0"}
