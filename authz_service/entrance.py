"""How callers get in: by certificates that are looked after while the service runs, or loopback."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import grpc
import structlog

from authz_service.clocks import SystemClock
from authz_service.file_watch import Contents, FileWatch
from authz_service.identity.callers import ActiveCallers
from authz_service.identity.tls_files import (
    TlsFiles,
    TlsFilesError,
    TlsIdentity,
    tls_files_of,
    tls_identity_of,
)
from authz_service.operations.ports import Clock, Journal
from authz_service.server.admission import Admission, LoopbackAdmission
from authz_service.server.certificate_admission import CertificateAdmission
from authz_service.server.listen import require_servable
from authz_service.server.tls import ServedTls
from authz_service.settings import Settings
from authz_service.telemetry.metrics import Metrics
from authz_service.watched_callers import WatchedCallers, callers_file_of

log = structlog.get_logger(__name__)


class Entrance:
    """Lets in the callers of a file, over certificates or loopback. For one event loop.

    Attributes:
        admission: Tells callers apart.
        credentials: What the port is served with; None for plaintext.
    """

    def __init__(self, settings: Settings, metrics: Metrics, clock: Clock) -> None:
        """Read what *settings* name; nothing is watched before `watch`.

        Raises:
            CallersRefusedError: The callers file is defective, or has no row for who calls.
            ListenError: It cannot be served where and how the settings say.
            TlsFilesError: The files for TLS cannot be served with.
        """
        files, self._file = servable(settings), callers_file_of(settings)
        self._metrics, self._clock = metrics, clock
        self._active = ActiveCallers(self._file.read())
        self._callers: WatchedCallers | None = None
        self._watched: list[FileWatch | WatchedCallers] = []
        self.admission: Admission = LoopbackAdmission(self._active)
        self.credentials: grpc.ServerCredentials | None = None
        self._certificates = None
        if files is not None:
            self._certificates = served = _Certificates(files, self._active)
            self.admission, self.credentials = served.admission, served.tls.credentials
            served.show(metrics)

    async def watch(self, journal: Journal) -> None:
        """Look after the files from now on; *journal* records who comes into force.

        Raises:
            JournalUnavailableError: Who is in force now could not be recorded.
        """
        if self._certificates is not None:
            self._certificates.watch.start(self._certificates.known)
            self._watched.append(self._certificates.watch)
        self._callers = WatchedCallers(
            self._file, self._active, journal=journal, clock=self._clock, metrics=self._metrics
        )
        self._watched.append(self._callers)
        await self._callers.start()
        callers = self._active.current
        log.info(
            "callers_in_force",
            callers=len(callers.rules),
            callers_revision=callers.revision,
            over="plaintext" if self._certificates is None else "tls",
        )

    def look_soon(self) -> None:
        """Look at the files at once, as SIGHUP asks."""
        for watched in self._watched:
            watched.look_soon()

    async def close(self) -> None:
        """Look after nothing any more."""
        for watched in self._watched:
            await watched.close()

    def details(self) -> dict[str, Any]:
        """Return how it is with callers and certificates, for ``/healthz``."""
        told = {} if self._certificates is None else {"tls": self._certificates.details()}
        return told if self._callers is None else {**told, "callers": self._callers.standing()}


class _Certificates:
    """The files for TLS, and all that rests on them."""

    def __init__(self, files: TlsFiles, callers: ActiveCallers) -> None:
        """Serve with *files* as they are now."""
        self._files = files
        self._clock = SystemClock()  # certificates end by the real time, whatever the service's
        self.known: Contents = files.read()
        self._identity = tls_identity_of(files, self.known, self._clock.now())
        self._reloads = {"replaced": 0, "refused": 0}
        self._refused = ""
        self._refused_contents: Contents | None = None
        self.tls = ServedTls(self._identity)
        self.admission = CertificateAdmission(callers, self._identity.authorities, self._clock)
        self.watch = FileWatch(files, self._take)
        self._warn(self._identity)

    async def _take(self, contents: Contents) -> None:
        """Serve with *contents* from now on, if they fit; with what there was if they do not."""
        try:
            identity = tls_identity_of(self._files, contents, self._clock.now())
        except TlsFilesError as error:
            self.watch.tell_again()  # it may be the time that is not right yet
            self._refuse(str(error), contents)
            return
        self.admission.trust(identity.authorities)  # first: who gets in by the new ones is known
        self.tls.replace(identity)
        self._identity, self._refused, self._refused_contents = identity, "", None
        self._reloads["replaced"] += 1
        log.info("tls_files_replaced", **_plain(identity))
        self._warn(identity)

    def _refuse(self, why: str, contents: Contents) -> None:
        """Say why *contents* are not served with, once."""
        if (why, contents) == (self._refused, self._refused_contents):
            return
        self._refused, self._refused_contents = why, contents
        self._reloads["refused"] += 1
        log.error("tls_files_refused", why=why)

    def _warn(self, identity: TlsIdentity) -> None:
        """Tell of what is in order, and should not stay so."""
        if self._files.key_is_open():
            log.warning("tls_key_open_to_others", path=str(self._files.key))
        for file, end in identity.ending(self._clock.now()).items():
            log.warning("tls_certificate_ends_soon", file=file, not_after=_text(end))

    def show(self, metrics: Metrics) -> None:
        """Have *metrics* show when certificates end, and what became of new files."""
        metrics.watch(
            "authz_tls_certificate_not_after_seconds",
            "When the service's certificate ends, and the first of the CAs of callers; Unix time.",
            lambda: {file: end.timestamp() for file, end in self._identity.ends().items()},
            "file",
        )
        metrics.watch(
            "authz_tls_reloads_total",
            "Times that new files for TLS were found, by what became of them.",
            lambda: self._reloads,
            "result",
        )
        metrics.watch(
            "authz_tls_last_load_successful",
            "1 where the files for TLS can be read and are served with as they are now.",
            lambda: float(not self._not_served),
        )
        metrics.watch(
            "authz_tls_handshakes_total",
            "TLS handshakes begun at the gRPC port, whatever became of them.",
            lambda: self.tls.begun,
        )

    @property
    def _not_served(self) -> str:
        """Why what lies there now is not served with; an empty text where it is."""
        unreadable = [f"{path}: {why}" for path, why in self.watch.unreadable.items()]
        return "; ".join(unreadable) or self._refused

    def details(self) -> dict[str, Any]:
        """Return when certificates end, and why what lies there now is not served with."""
        return {**_plain(self._identity), "refused": self._not_served}


def servable(settings: Settings) -> TlsFiles | None:
    """Return the files for TLS; None for plaintext on loopback.

    Raises:
        ListenError: It cannot be served where and how the settings say.
        TlsFilesError: Some of the settings for TLS are missing.
    """
    files = tls_files_of(settings.tls_cert, settings.tls_key, settings.client_ca)
    require_servable(
        settings.listen,
        with_tls=files is not None,
        insecure_loopback=settings.insecure_loopback,
    )
    return files


def _plain(identity: TlsIdentity) -> dict[str, str]:
    """Return when the certificates of *identity* end, by file."""
    return {f"{file}_not_after": _text(end) for file, end in identity.ends().items()}


def _text(instant: datetime) -> str:
    """Return *instant* as RFC 3339."""
    return instant.isoformat().replace("+00:00", "Z")
