"""Pages and small interfaces over the notes."""

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from notes.models import Note


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show the last notes."""
    return render(request, "index.html", {"notes": Note.objects.order_by("-id")[:5], "release": settings.RELEASE})


@csrf_exempt
@require_POST
def add(request: HttpRequest) -> HttpResponse:
    """Write a note; keep at most the last thousand."""
    note = Note.objects.create(text=request.body.decode(errors="replace")[:200])
    Note.objects.filter(id__lt=note.id - 1000).delete()
    return JsonResponse({"id": note.id}, status=201)


@require_GET
def visits(request: HttpRequest) -> HttpResponse:
    """Count the visits of one session; sessions are rows of the database."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


@require_GET
def indexed(request: HttpRequest) -> HttpResponse:
    """Count the indexed notes of each release, and those that wait."""
    rows = Note.objects.values_list("indexed_by").annotate(Count("id"))
    return JsonResponse({name or "waiting": count for name, count in rows})


@csrf_exempt
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Store the body as a file that both versions can read."""
    default_storage.delete("latest.bin")
    name = default_storage.save("latest.bin", ContentFile(request.body))
    return JsonResponse({"name": name, "size": default_storage.size(name)}, status=201)


@require_GET
def health(request: HttpRequest) -> HttpResponse:
    """Answer if the database does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})
