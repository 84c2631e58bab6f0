"""What init sees in the files of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.setup.application import application_in
from cakravia_verify.setup.findings import FoundProject
from cakravia_verify.setup.image_file import read_image_file
from cakravia_verify.setup.looking import look, site_name
from cakravia_verify.setup.proxy_file import read_proxy_file
from cakravia_verify.setup.routes import routes_in

SAMPLES = Path(__file__).parent / "samples"
DJANGO = Path(__file__).parents[2] / "examples" / "django_app"


def seen(folder: Path, **files: str) -> FoundProject:
    write(folder, files)
    return look(folder)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_fastapi_is_found_with_its_pages_and_its_health_endpoint() -> None:
    application, routes = application_in(SAMPLES / "fastapi"), routes_in(SAMPLES / "fastapi")
    assert application is not None
    assert application.framework == "FastAPI"
    assert "uvicorn main:app" in application.command[-1]
    assert routes.pages == ("/", "/items")
    assert routes.health == {"health": "/healthz"}


def test_express_is_started_without_npm_between_it_and_its_signals() -> None:
    application, routes = application_in(SAMPLES / "express"), routes_in(SAMPLES / "express")
    assert application is not None
    assert (application.framework, application.command) == ("Express", ("node", "server.js"))
    assert routes.pages == ("/", "/notes")
    assert routes.health == {"health": "/health"}


def test_django_is_found_with_the_paths_of_its_urls() -> None:
    application, routes = application_in(DJANGO), routes_in(DJANGO)
    assert application is not None
    assert application.framework == "Django"
    assert "gunicorn shop.wsgi" in application.command[-1]
    assert "migrate" in application.migration
    assert routes.health == {"health": "/health/"}
    assert {"/", "/visits/"} <= set(routes.pages)
    assert "/notes/" in routes.others


def test_next_standalone_listens_on_the_slots_address_and_brings_its_files(tmp_path: Path) -> None:
    files = {
        "package.json": '{"dependencies": {"next": "15.0.0"}, "scripts": {"build": "next build"}}',
        "package-lock.json": "{}",
        "next.config.mjs": 'export default { output: "standalone" };',
        "app/page.tsx": "",
        "app/(shop)/about/page.tsx": "",
        "app/item/[id]/page.tsx": "",
        "app/api/health/route.ts": "",
        "app/api/orders/route.ts": "",
    }
    found = seen(tmp_path, **files)
    assert found.application is not None
    assert found.application.command == ("node", ".next/standalone/server.js")
    assert found.application.environment == {"HOSTNAME": "127.0.0.1"}
    assert found.application.build[-1].startswith("npm ci")
    assert "cp -r .next/static .next/standalone/.next/" in found.application.build[-1]
    assert found.routes.pages == ("/", "/about")
    assert found.routes.health == {"health": "/api/health"}


@pytest.mark.parametrize(
    ("files", "framework", "command"),
    [
        ({"Procfile": "web: bin/serve --port $PORT\n"}, "Procfile", "exec bin/serve --port $PORT"),
        ({"Gemfile": "gem 'rails', '~> 8.0'\n"}, "Rails", "rails server"),
        ({"requirements.txt": "flask\ngunicorn\n", "web.py": "app = Flask(__name__)\n"}, "Flask", "gunicorn web:app"),
        ({"package.json": '{"scripts": {"start": "PORT=1 node a.js"}}'}, "Node", "start"),
        ({"package.json": '{"main": "server.js"}', "server.js": ""}, "Node", "server.js"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_command_of_an_application(files: dict[str, str], framework: str, command: str, tmp_path: Path) -> None:
    write(tmp_path, files)
    application = application_in(tmp_path)
    assert application is not None
    assert application.framework == framework
    assert command in application.command[-1]


def test_procfile_names_workers_and_the_release_phase(tmp_path: Path) -> None:
    write(tmp_path, {"Procfile": "web: ./serve\nworker: ./work --slow\nrelease: ./migrate\n"})
    application = application_in(tmp_path)
    assert application is not None
    assert application.workers == {"worker": ("sh", "-c", "exec ./work --slow")}
    assert application.migration == ("sh", "-c", "exec ./migrate")


def test_folder_without_an_application_has_none(tmp_path: Path) -> None:
    assert seen(tmp_path, **{"notes.txt": "nothing"}).application is None


@pytest.mark.parametrize("name", ["package.json", "pyproject.toml"])
def test_broken_file_is_named(name: str, tmp_path: Path) -> None:
    write(tmp_path, {name: "{ broken"})
    with pytest.raises(UsageError, match=name):
        look(tmp_path)


def test_dockerfile_of_several_stages_is_read_to_its_end(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Dockerfile": "ARG NODE=22\nFROM node:${NODE}-slim AS deps\nUSER root\nFROM node:22-slim AS base\n"
            "WORKDIR /app\nUSER 1000:1000\nFROM deps AS build\nRUN make\nFROM base\nENV PORT=4000\n"
            'HEALTHCHECK --interval=5s \\\n  CMD curl -f http://localhost:4000/up || exit 1\nCMD ["node", "s.js"]\n'
        },
    )
    image = read_image_file(tmp_path / "Dockerfile")
    assert (image.base, image.user, image.port) == ("node:22-slim", "1000:1000", 4000)
    assert (image.health, image.folder, image.runs_as_root) == ("/up", "/app", False)


def test_entrypoint_that_migrates_is_seen(tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": 'FROM python\nENTRYPOINT ["./entrypoint.sh"]\n'})
    assert not read_image_file(tmp_path / "Dockerfile").migrates
    write(tmp_path, {"entrypoint.sh": 'python manage.py migrate\nexec "$@"\n'})
    assert read_image_file(tmp_path / "Dockerfile").migrates


def test_nginx_configuration_names_host_upstream_limits_and_certificate() -> None:
    text = """
    upstream app { server web:8000; keepalive 8; }
    server {
        listen 443 ssl; server_name shop.example.com www.example.com;
        ssl_certificate /etc/tls/full.pem; ssl_certificate_key /etc/tls/key.pem;
        client_max_body_size 20m;
        location / { proxy_pass http://app; proxy_read_timeout 5m; }   # proxy_pass http://old:1
    }"""
    found = read_proxy_file(text, name="nginx.conf")
    assert (found.host, found.upstreams) == ("shop.example.com", (("web", 8000),))
    assert (found.max_body, found.read_timeout) == ("20m", 300.0)
    assert (found.certificate, found.key) == ("/etc/tls/full.pem", "/etc/tls/key.pem")


def test_pages_that_need_a_login_or_act_are_left_out(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.py": "app = FastAPI()\n"
            + "".join(
                f'@app.{decorator}\n{head}: return "x"\n'
                for decorator, head in (
                    ('get("/")', "def front()"),
                    ('get("/tea")', "async def tea(request: Request, page: int = 1)"),
                    ('get("/login")', "def login()"),
                    ('get("/admin/users")', "def users()"),
                    ('get("/x/{id}")', "def one(id)"),
                    ('get("/search")', "def search(q: str)"),
                    ('get("/mine")', "def mine(user=Depends(current))"),
                    ('get("/kept", dependencies=[Depends(current)])', "def kept()"),
                    ('post("/buy")', "def buy()"),
                    ('route("/form", methods=["POST"])', "def form()"),
                )
            )
        },
    )
    routes = routes_in(tmp_path)
    assert routes.pages == ("/", "/tea")
    assert routes.others == ("/kept", "/mine", "/search")


def test_route_of_express_behind_a_guard_is_no_page_for_everybody(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "server.js": "const app = express();\napp.get('/', home);\napp.get('/a', async (a, b) => {});\n"
            "app.get('/b', requireUser, show);\napp.get('/c', function (a, b) {});\napp.get('/d/:id', x);\n"
        },
    )
    routes = routes_in(tmp_path)
    assert (routes.pages, routes.others) == (("/", "/a", "/c"), ("/b",))


def test_views_of_django_are_followed_through_imports_and_includes(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "manage.py": "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')",
            "site/urls.py": "from django.urls import include, path\nfrom shop.views import front\n"
            "urlpatterns = [path('', front), path('shop/', include('shop.urls')), path('admin/', admin.site.urls)]",
            "shop/urls.py": "from . import views\nurlpatterns = [path('', views.all), path('new/', views.new),"
            " path('about/', TemplateView.as_view(template_name='a.html')), path('<int:id>/', views.one),"
            " path('list/', views.Items.as_view())]",
            "shop/views.py": "def front(request): return 1\ndef all(request): return 1\n"
            "@login_required\ndef new(request): return 1\ndef one(request, id): return 1\n",
        },
    )
    routes = routes_in(tmp_path)
    assert routes.pages == ("/", "/shop/", "/shop/about/")
    assert routes.others == ("/shop/list/", "/shop/new/")


def test_health_path_of_a_server_without_framework_is_found(tmp_path: Path) -> None:
    write(tmp_path, {"server.mjs": "if (request.url === '/healthz') return ok();\nif (url == '/readyz') {}\n"})
    assert routes_in(tmp_path).health == {"health": "/healthz", "ready": "/readyz"}


def test_health_endpoint_under_another_name_is_found(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": 'app = Flask(__name__)\n@app.route("/flask-health-check")\ndef check(): return "x"\n'})
    routes = routes_in(tmp_path)
    assert (routes.health, routes.pages) == ({"health": "/flask-health-check"}, ())


@pytest.mark.parametrize(
    ("folder", "name"), [("My Shop_2", "my-shop-2"), ("2024", "site-2024"), ("---", "site"), ("a" * 60, "a" * 40)]
)
def test_name_of_the_site_comes_from_the_folder(folder: str, name: str) -> None:
    assert site_name(folder) == name
