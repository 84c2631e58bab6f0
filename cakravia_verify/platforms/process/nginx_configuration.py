"""nginx's configuration files in its folder, and the configuration that the running nginx has loaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cakravia_verify.errors import ProxyError, UsageError
from cakravia_verify.platforms.process.nginx_program import NginxProgram
from cakravia_verify.proxy import flags as flag_files
from cakravia_verify.proxy.certificate import read_certificate
from cakravia_verify.proxy.error_pages import read_error_pages
from cakravia_verify.proxy.flags import FlagFolder
from cakravia_verify.proxy.monitor_pages import PASSWORD_FILE, MonitorPages
from cakravia_verify.proxy.nginx.changes import changes_in_words
from cakravia_verify.proxy.nginx.render import (
    NginxPaths,
    is_switched_by_flag,
    named_active,
    render_nginx,
    render_upstream,
)
from cakravia_verify.proxy.nginx.site_facts import SiteFacts
from cakravia_verify.proxy.protocol import ConfigurationState
from cakravia_verify.proxy.slot_paths import key_of
from cakravia_verify.proxy.snippets import read_snippets
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import Clock
from cakravia_verify.system.files import make_folder, write_atomically


@dataclass(frozen=True)
class NginxConfiguration:
    """Configuration, upstreams and flags below `folder`. Only a configuration that nginx accepts becomes nginx.conf."""

    settings: ProxySettings
    folder: Path
    upstreams: dict[Colour, Address]
    program: NginxProgram
    clock: Clock
    facts: SiteFacts
    open_files: Callable[[], int]
    pages: MonitorPages | None = None

    @property
    def flags(self) -> FlagFolder:
        return FlagFolder(self.folder / "flags", clock=self.clock)

    @property
    def assets(self) -> Path:
        return self.folder / "assets"

    @property
    def access_log(self) -> Path:
        return self.folder / "access.log"

    @property
    def everyday_log(self) -> Path:
        return self.folder / "everyday.log"

    @property
    def stand_ins(self) -> Path:
        return self.folder / "stand-ins.log"

    def make_folders(self) -> None:
        for folder in (self.folder, self.flags.folder, self.folder / "temp"):
            make_folder(folder)

    def wanted(self) -> str:
        """Return the configuration for the present settings and certificate, with users where they are."""
        return self.rendered() + self._upstream_text(self.chosen())

    @property
    def written(self) -> str:
        """The configuration that is in place, with its upstream. Empty without one."""
        with contextlib.suppress(OSError):
            text = self.program.configuration.read_text(encoding="utf-8", errors="replace")
            return text if is_switched_by_flag(text) else text + self._upstream.read_text(encoding="utf-8")
        return ""

    def state(self) -> ConfigurationState:
        """Return what is wanted, what is in place and what runs. Nothing is known before the first start."""
        written = self.written
        if not written:
            return ConfigurationState(loaded=self.loaded)
        refusal = ""
        try:
            self.program.require_accepted(self.program.configuration, remedy="")
        except ProxyError as error:
            refusal = error.message
        return ConfigurationState(self.wanted(), written, self.loaded, refusal)

    def rendered(self) -> str:
        settings = self.settings
        return render_nginx(
            settings,
            paths=NginxPaths(
                pid=str(self.folder / "nginx.pid"),
                error_log=str(self.program.error_log),
                access_log=str(self.access_log),
                everyday_log=str(self.everyday_log),
                stand_ins=str(self.stand_ins),
                temp=str(self.folder / "temp"),
                flags=str(self.flags.folder),
                upstream=str(self.folder / "upstream.conf"),
                certificate=settings.tls_certificate,
                key=settings.tls_key,
                assets=str(self.assets),
                error_pages=f"{self.folder}/page-",
            ),
            upstreams=self.upstreams,
            site_key=key_of(self.folder),
            version=self.program.version,
            listens=settings.listens,
            own_address=str(settings.address.of_this_machine),
            tls_listens=settings.tls_listens,
            certificate=read_certificate(settings),
            facts=self.facts,
            daemon=True,
            error_pages=read_error_pages(settings),
            open_files=self.open_files(),
            # The workers of a master of root would run as the user nobody, which may not be able to read the flags.
            user="root root" if os.geteuid() == 0 else "",
            pages=self.pages,
            snippets=read_snippets(settings.snippets),
        )

    def test(self) -> None:
        """Raise UsageError if nginx refuses the configuration for the present settings. The running one stays."""
        self.make_folders()
        draft = self.folder / "nginx.conf.tested"
        write_atomically(draft, self.rendered().encode(), mode=0o644)
        try:
            self.program.require_accepted(draft, remedy="correct it; nothing was changed")
        except ProxyError as error:
            raise UsageError(error.message, remedy=error.remedy) from error
        finally:
            draft.unlink(missing_ok=True)

    def changes(self) -> tuple[str, ...]:
        """Return in words what the next reload changes. Empty if there is nothing, or if it is unknown."""
        return changes_in_words(self.loaded, self.wanted())

    def write(self, text: str) -> None:
        """Replace nginx.conf. Raises ProxyError, without a change, if nginx refuses the new one."""
        for name, content in read_error_pages(self.settings).items():
            write_atomically(self._error_page(name), content, mode=0o644)
        if self.pages is not None and self.pages.password:
            write_atomically(self.folder / PASSWORD_FILE, self.pages.password_line)
        draft = self.folder / "nginx.conf.draft"
        write_atomically(draft, text.encode(), mode=0o644)
        self.program.require_accepted(draft, remedy=f"read {draft}; the previous configuration is unchanged")
        draft.replace(self.program.configuration)

    @contextlib.contextmanager
    def replaced(self, *, chosen: Colour) -> Iterator[None]:
        """Put the configuration for the present settings in place, with users on `chosen`.

        If the block raises, the previous configuration is put back.
        """
        self.make_folders()
        place = self.program.configuration
        before = place.read_text(encoding="utf-8") if place.exists() else ""
        # If the setting `switch` changed, the new configuration reads another file: it must name the same slot.
        self.write_choice(chosen)
        self.write(self.rendered())
        try:
            yield
        except BaseException:
            if before:
                write_atomically(place, before.encode(), mode=0o644)
            raise

    def write_choice(self, colour: Colour) -> None:
        if self.settings.switch == "reload":
            self.write_upstream(colour)
        else:
            self.flags.point_at(colour)

    def write_upstream(self, colour: Colour) -> None:
        for each in Colour:
            text = render_upstream(self.settings, each, address=self.upstreams[each])
            write_atomically(self.folder / f"upstream.{each}.template", text.encode(), mode=0o644)
        source = self.folder / f"upstream.{colour}.template"
        write_atomically(self._upstream, source.read_bytes(), mode=0o644)

    @property
    def loaded(self) -> str:
        """The configuration that the running nginx has loaded. Empty while that is unknown."""
        with contextlib.suppress(OSError):
            return self._loaded_note.read_text(encoding="utf-8")
        return ""

    def note_loaded(self) -> None:
        text = self.program.configuration.read_text(encoding="utf-8")
        if not is_switched_by_flag(text):
            text += self._upstream.read_text(encoding="utf-8")
        write_atomically(self._loaded_note, text.encode(), mode=0o644)

    @property
    def is_whole(self) -> bool:
        """Whether all files and folders exist that the running nginx reads or writes."""
        needed = [self.program.configuration, self.flags.folder, self.folder / "temp" / "body", self.access_log]
        needed += [self._error_page(name) for name in read_error_pages(self.settings)]
        if not self.runs_by_flag:
            needed.append(self._upstream)
        return all(path.exists() for path in needed)

    @property
    def is_untouched(self) -> bool:
        """Whether the file in place is still the one that was loaded. Any reload would load the other one."""
        return self.written == self.loaded

    @property
    def is_choice_lost(self) -> bool:
        """Whether no file shows any more where the running nginx sends users. Only its answers then show it."""
        return not self.runs_by_flag and not self.loaded and not self._upstream.exists()

    def forget_loaded(self) -> None:
        self._loaded_note.unlink(missing_ok=True)

    @property
    def has_failover(self) -> bool:
        return self.runs_by_flag and self.flags.has(flag_files.FAILOVER)

    @property
    def runs_by_flag(self) -> bool:
        """How the running nginx is switched. A changed setting has an effect only after the next reload."""
        return is_switched_by_flag(self.loaded) if self.loaded else self.settings.switch == "flag"

    def chosen(self) -> Colour:
        if self.runs_by_flag:
            return flag_files.active_colour(self.flags)
        text = self.loaded
        with contextlib.suppress(OSError):
            text = text or self._upstream.read_text(encoding="utf-8")
        return named_active(text)

    def _error_page(self, name: str) -> Path:
        return self.folder / f"page-{name}.html"

    @property
    def _upstream(self) -> Path:
        return self.folder / "upstream.conf"

    @property
    def _loaded_note(self) -> Path:
        return self.folder / "nginx.conf.loaded"

    def _upstream_text(self, colour: Colour) -> str:
        if self.settings.switch == "flag":
            return ""
        return render_upstream(self.settings, colour, address=self.upstreams[colour])
