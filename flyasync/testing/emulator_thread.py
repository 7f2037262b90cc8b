"""An emulator for synchronous code."""

import asyncio
from concurrent.futures import Future
from threading import Thread
from typing import Self

from attrs import define, field

from flyasync.emulator.server import Emulator


@define(eq=False)
class EmulatorThread:
    """Serve an emulator from a thread with an event loop of its own, so that blocking code can call it.

        with EmulatorThread(Emulator(seed=7)) as emulator:
            urllib.request.urlopen(f"{emulator.url}/_emulator/counts")

    The methods of the emulator can be called from any thread while it is served. The thread uses real time, also where
    the caller's own loop is virtual.
    """

    emulator: Emulator = field(factory=Emulator)
    _thread: Thread | None = field(default=None, init=False)
    _stopping: Future[None] = field(init=False)

    def __enter__(self) -> Emulator:
        self.start()
        return self.emulator

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Return once the emulator is serving; raise what `Emulator.start` raises, such as OSError for a used port."""
        if self._thread is not None:
            raise RuntimeError("the emulator thread is already running")
        started: Future[None] = Future()
        self._stopping = Future()
        # A daemon: a thread that was never stopped does not keep the process alive.
        thread = Thread(target=self._run, args=(started,), name="flyasync-emulator", daemon=True)
        thread.start()
        try:
            started.result()
        except BaseException:
            self._stopping.set_result(None)
            thread.join()
            raise
        self._thread = thread
        return self

    def stop(self) -> None:
        """Close every connection and wait for the thread to end; the log, counts and world stay readable."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set_result(None)
            thread.join()

    def _run(self, started: Future[None]) -> None:
        asyncio.run(self._serve(started))

    async def _serve(self, started: Future[None]) -> None:
        try:
            await self.emulator.start()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that called start
            started.set_exception(error)
            return
        try:
            started.set_result(None)
            await asyncio.wrap_future(self._stopping)
        finally:
            await self.emulator.stop()
