"""The artifact is what the source is: the same files, the same digest, whatever lies beside them."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cakravia_verify.errors import DeadlineExceeded, PlatformError, UsageError
from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.platforms.process.source_tree import IGNORED, copy_source, remove_tree
from cakravia_verify.platforms.process.versions import digest_of
from cakravia_verify.settings.models import AppSettings, Settings, SiteSettings, SlotSettings
from cakravia_verify.slots import Artifact
from tests.platforms.process.conftest import deadline
from tests.ports import free_ports


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "lib").mkdir(parents=True)
    (folder / "server.py").write_text("print('shop')")
    (folder / "lib" / "cart.py").write_text("cart = []")
    return folder


def build(source: Path, *, version: str = "v1", **app: object) -> Artifact:
    """The artifact of a site whose settings, state and reports lie in its source."""
    blue, green = free_ports(2)
    made = Settings(
        root=source,
        site=SiteSettings(state="state"),
        slots=SlotSettings(blue=blue, green=green),
        app=AppSettings(command=("{python}", "server.py"), source="."),
    )
    made = made.model_copy(update={"app": made.app.model_copy(update=app)})
    platform = ProcessPlatform(made)
    platform.prefetch(version, deadline=deadline())
    return platform.build(version, deadline=deadline(60))


def files_of(artifact: Artifact) -> list[str]:
    copy = Path(artifact.location) / "app"
    return sorted(
        path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_symlink() or not path.is_dir()
    )


def put(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_one_tree_has_one_digest_while_state_and_reports_grow_inside_it(source: Path) -> None:
    digests = set()
    for number in range(3):
        artifact = build(source, version=f"v{number}")
        digests.add(artifact.digest)
        put(source / "reports" / f"release-{number}" / "verdict.json", "{}" * 1000)
        put(source / "state" / "nginx" / f"{number}.log")
        put(source / "lib" / "__pycache__" / f"cart.{number}.pyc")
    assert len(digests) == 1
    assert files_of(artifact) == ["lib/cart.py", "server.py"]


def test_one_tree_has_one_digest_in_every_checkout(source: Path) -> None:
    other = source.with_name("checkout-2")
    shutil.copytree(source, other)
    assert build(other).digest == build(source).digest


@pytest.mark.parametrize(
    "path", [".git/HEAD", ".venv/bin/python", "env/pyvenv.cfg", ".tox/py/x", ".hg/store", "lib/.svn/entries"]
)
def test_what_tools_leave_in_a_source_belongs_to_no_version(source: Path, path: str) -> None:
    put(source / path)
    assert files_of(build(source)) == ["lib/cart.py", "server.py"]


@pytest.mark.parametrize("name", [".gitignore", ".cakraviaignore"])
def test_what_an_ignore_file_names_belongs_to_no_version(source: Path, name: str) -> None:
    put(source / name, "*.log\n/dist/\n!keep.log\n# a comment\n\nlib/*.tmp\n")
    for path in ("a.log", "lib/b.log", "keep.log", "dist/app.js", "lib/dist/app.js", "lib/x.tmp"):
        put(source / path)
    assert files_of(build(source)) == [name, "keep.log", "lib/cart.py", "lib/dist/app.js", "server.py"]


def test_an_ignore_file_of_a_folder_holds_below_it(source: Path) -> None:
    put(source / ".gitignore", "*.log")
    put(source / "lib" / ".gitignore", "/local.py\n!cart.log\n")
    for path in ("local.py", "lib/local.py", "lib/deep/local.py", "lib/cart.log", "cart.log"):
        put(source / path)
    assert files_of(build(source)) == [
        ".gitignore", "lib/.gitignore", "lib/cart.log", "lib/cart.py", "lib/deep/local.py", "local.py", "server.py",
    ]  # fmt: skip


def test_a_built_folder_that_git_ignores_is_taken_in_by_an_own_rule(source: Path) -> None:
    put(source / ".gitignore", "dist/\n.env\n")
    put(source / ".cakraviaignore", "!dist/\n")
    put(source / "dist" / "app.js")
    put(source / ".env", "SECRET=1")
    assert files_of(build(source)) == [".cakraviaignore", ".gitignore", "dist/app.js", "lib/cart.py", "server.py"]


def test_a_source_of_which_nothing_is_left_is_refused(source: Path) -> None:
    put(source / ".cakraviaignore", "*\n")
    with pytest.raises(UsageError, match=r"no file of .* belongs to a version"):
        build(source)


def test_sockets_and_pipes_in_a_source_do_not_stop_a_release(source: Path) -> None:
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as listening, tempfile.TemporaryDirectory() as short:
        listening.bind(f"{short}/s")
        Path(short, "s").rename(source / "app.sock")
        assert files_of(build(source)) == ["lib/cart.py", "server.py"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_in_a_source_is_not_read(source: Path) -> None:
    try:
        os.mknod(source / "zero", 0o666 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no devices can be made here")
    assert files_of(build(source)) == ["lib/cart.py", "server.py"]


def test_dangling_and_inner_links_stay_links(source: Path) -> None:
    (source / "gone").symlink_to("nowhere")
    (source / "cart").symlink_to("lib/cart.py")
    (source / "zone").symlink_to("/etc/localtime")
    artifact = build(source)
    copy = Path(artifact.location) / "app"
    assert [str((copy / name).readlink()) for name in ("gone", "cart", "zone")] == [
        "nowhere", "lib/cart.py", "/etc/localtime",
    ]  # fmt: skip


def test_a_link_out_of_the_source_becomes_a_copy(source: Path) -> None:
    put(source.parent / "packages" / "money" / "index.js", "one")
    (source / "money").symlink_to("../packages/money")
    (source / "lib" / "index.js").symlink_to("../../packages/money/index.js")
    artifact = build(source)
    assert files_of(artifact) == ["lib/cart.py", "lib/index.js", "money/index.js", "server.py"]
    put(source.parent / "packages" / "money" / "index.js", "two")
    assert (Path(artifact.location) / "app" / "money" / "index.js").read_text() == "one"
    assert build(source).digest != artifact.digest


@pytest.mark.parametrize("aim", ["..", "../packages"])
def test_a_link_that_leads_back_to_itself_is_refused_by_name(source: Path, aim: str) -> None:
    put(source.parent / "packages" / "index.js")
    (source.parent / "packages" / "again").symlink_to("../packages")
    (source / "link").symlink_to(aim)
    with pytest.raises(UsageError, match=r"the link .*(link|again) leads back to"):
        build(source)


def test_a_deep_and_wide_source_is_kept_whole(source: Path) -> None:
    deep = source.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    put(deep / "end.txt")
    for number in range(3000):
        put(source / "many" / f"{number}.txt")
    artifact = build(source)
    assert len(files_of(artifact)) == 3003
    remove_tree(Path(artifact.location))
    assert not Path(artifact.location).exists()


def test_a_copy_that_takes_too_long_is_stopped(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        copy_source(source, tmp_path / "copy", apart=(), deadline=deadline(0))
    assert "build_timeout" in caught.value.remedy


def as_another_user(act: Callable[[], None]) -> None:
    """Do this in a process without root's rights. Root may read and remove everything."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            act()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def made(source: Path) -> Iterator[Path]:
    """The source in a folder that every user may write."""
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(source, folder / "shop")
    for path in (folder, folder / "shop", folder / "shop" / "lib"):
        path.chmod(0o777)
    yield folder / "shop"
    remove_tree(folder)


def test_retention_really_removes_read_only_folders(made: Path) -> None:
    blue, green = free_ports(2)

    def act() -> None:
        put(made / "own" / "x")
        (made / "own").chmod(0o555)
        platform = ProcessPlatform(
            Settings(
                root=made,
                slots=SlotSettings(blue=blue, green=green),
                app=AppSettings(
                    source=".", build=("sh", "-c", "mkdir -p mod/inner && touch mod/inner/x && chmod -R a-w mod")
                ),
            )
        )
        first = platform.build("v1", deadline=deadline(60))
        (made / "new.txt").write_text("new")
        platform.build("v2", deadline=deadline(60))
        (removed,) = platform.prune(keep=(), retain=1)
        assert removed == first
        left = sorted(path.name for path in (made / ".cakravia" / "versions").iterdir() if path.is_dir())
        assert [name.partition("-")[0] for name in left] == ["v2"]

    as_another_user(act)


def test_a_file_that_cannot_be_read_is_named_as_a_part_of_the_source(made: Path) -> None:
    def act() -> None:
        put(made / "secret")
        (made / "secret").chmod(0)
        with pytest.raises(UsageError, match=r"\[app\] source: .*secret cannot be read: Permission denied") as caught:
            copy_source(made, made.with_name("copy"), apart=(), deadline=deadline())
        assert ".cakraviaignore" in caught.value.remedy

    as_another_user(act)


def test_names_that_are_too_long_for_the_state_folder_are_told_as_that(source: Path) -> None:
    deep = source
    while len(str(deep)) < 4090:
        deep /= "d" * min(200, 4090 - len(str(deep)))
    deep.mkdir(parents=True)
    with pytest.raises((PlatformError, UsageError), match="too long"):
        build(source)


NAMES = st.text(st.characters(categories=["Ll", "Nd"], include_characters=" .-_é\n"), min_size=1, max_size=6).filter(
    lambda name: name not in {".", "..", *IGNORED} and name.strip() == name
)
TREES: st.SearchStrategy[dict[str, object]] = st.dictionaries(
    NAMES, st.recursive(st.binary(max_size=8), lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8),
    min_size=1, max_size=4,
)  # fmt: skip


def write(tree: dict[str, object], folder: Path, *, backwards: bool = False) -> None:
    folder.mkdir()
    for name in sorted(tree, reverse=backwards):
        inner = tree[name]
        if isinstance(inner, dict):
            write(inner, folder / name, backwards=backwards)
        elif isinstance(inner, bytes):
            (folder / name).write_bytes(inner)


def contents(tree: dict[str, object], *, above: str = "") -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, inner in tree.items():
        if isinstance(inner, dict):
            found |= contents(inner, above=f"{above}{name}/")
        elif isinstance(inner, bytes):
            found[f"{above}{name}"] = inner
    return found


@settings(max_examples=40, deadline=None)
@given(tree=TREES, other=TREES)
def test_digests_are_equal_exactly_if_the_files_are(tree: dict[str, object], other: dict[str, object]) -> None:
    if not contents(tree) or not contents(other):
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(tree, folder / "one")
        write(tree, folder / "two", backwards=True)
        write(other, folder / "three")
        digests = []
        for source in ("one", "two", "three"):
            copy_source(folder / source, folder / f"copy of {source}", apart=(), deadline=deadline(60))
            digests.append(digest_of(folder / f"copy of {source}", command=("x",)))
        assert digests[0] == digests[1]
        assert (digests[0] == digests[2]) == (contents(tree) == contents(other))
