"""Single images: each frame a PNG file of its own, all of them named when the last is written."""

import os
import secrets
import shutil
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from vsr_cli.atomic import (
    free_name,
    move_files_into_place,
    move_folder_into_place,
    move_into_place,
)
from vsr_cli.counting import counted
from vsr_cli.errors import OutputError, VerificationError
from vsr_cli.events import Note, Report
from vsr_cli.media.containers import is_single_image
from vsr_cli.media.image_names import NumberedName
from vsr_cli.media.resources import ResourceOwner
from vsr_cli.media.side_streams import SideStreams
from vsr_cli.media.writing.destination import output_errors, split_pattern
from vsr_cli.media.writing.muxer import AddVideoStream
from vsr_cli.media.writing.output_plan import OutputPlan
from vsr_cli.media.writing.stream_plan import StreamPlanner

_EARLIER = "replaced"  # the folder of images that do not belong to the new sequence
_FIRST = 1  # number of the first image, as FFmpeg counts


class ImageSequenceWriter(ResourceOwner):
    """Writes packets, each a whole image, into a hidden folder, and names them all at the end.

    A new folder appears at once, with all its images. In one that exists, the images of an earlier
    sequence of the same name are put aside first, so that nobody takes them for the new ones.
    Leaving the `with` block without `finish` removes what was written.
    """

    def __init__(
        self,
        plan: OutputPlan,
        add_video_stream: AddVideoStream,
        side_streams: SideStreams,
        *,
        report: Report,
    ) -> None:
        """Make the hidden folder, in the folder of the images, or beside it if that is new.

        Args:
            plan: of the target: a folder, a name with a place for a number, or that of one image.
            add_video_stream: adds the stream whose packets `mux` will get.
            side_streams: what is left out.
            report: receives `W_..._DROPPED` and `W_IMAGES_PUT_ASIDE`.

        Raises:
            OutputError: the encoder refuses, or the folder cannot be written to.
        """
        target, info, config = plan.target, plan.info, plan.config
        self._target, self._config = target, config
        self._report = report
        self._name: NumberedName | None = None
        self._folder = target.parent
        if not is_single_image(target):
            self._folder, self._name = split_pattern(target)
        super().__init__()
        self.num_images = 0
        try:
            # Packets are made for a container; this one goes nowhere.
            self._output = self._resources.enter_context(av.open(os.devnull, "w", format="null"))
            add_video_stream(self._output)
            StreamPlanner(side_streams, self._output, plan.container, info, config).add_all(report)
            next(side_streams.packets([]), None)  # none is wanted
            with output_errors(f"`{target}` cannot be written"):
                self._make_folder()
        except BaseException:
            self._resources.close()
            raise

    def mux(self, packet: "Packet[VideoStream]") -> None:
        """Write one image.

        Raises:
            OutputError: the disk is full, or there is a place for one image only.
        """
        if self._name is None and self.num_images:
            raise OutputError(
                f"`{self._target.name}` is the name of one image, and there are more",
                hint="write `DIR/%05d.png`, or choose one frame as in `--frames 0:1`",
            )
        with output_errors(f"`{self._target}` cannot be written"):
            (self._temp / self._name_of(self.num_images)).write_bytes(bytes(packet))
        self.num_images += 1

    def finish(self) -> tuple[str, ...]:
        """Give the images their names.

        Returns:
            Nothing, as there is nothing beside images.

        Raises:
            OutputError: nothing was written, or a name has been taken meanwhile.
            VerificationError: an image cannot be read back.
        """
        if self.num_images == 0:
            raise OutputError("no frame was written", hint="check the source with a player")
        names = [self._name_of(number) for number in range(self.num_images)]
        if self._config.verify == "full":
            self._decode(names)
        with output_errors(f"`{self._target}` cannot be written"):
            try:
                self._publish(names)
            except FileExistsError as error:
                kept = free_name(self._folder / "new")
                self._temp.rename(kept)
                raise OutputError(
                    f"`{self._target}` has appeared meanwhile",
                    why=f"the new images are complete and kept in `{kept}`",
                    hint="move them where they belong",
                ) from error
        return ()

    def _publish(self, names: list[str]) -> None:
        if self._name is None:
            replace = self._config.overwrite
            move_into_place(self._temp / names[0], self._target, replace=replace)
        elif not self._folder.exists():
            move_folder_into_place(self._temp, self._folder)
        else:
            earlier = self._put_aside(self._name) if self._config.overwrite else None
            move_files_into_place(self._temp, self._folder, names)
            if earlier is not None:
                self._remove_replaced(earlier, names)

    def _put_aside(self, name: NumberedName) -> Path | None:
        """Move the images of an earlier sequence into a folder of their own; says which."""
        found = name.find(self._folder)
        if not found:
            return None
        earlier = free_name(self._folder / _EARLIER)
        earlier.mkdir()
        for path in found.values():
            path.rename(earlier / path.name)
        return earlier

    def _remove_replaced(self, earlier: Path, names: list[str]) -> None:
        """Remove what the user wanted to be replaced, and say where the rest is."""
        for name in names:
            (earlier / name).unlink(missing_ok=True)
        if num_left := len(list(earlier.iterdir())):
            text = f"of an earlier, longer sequence {counted(num_left, 'image is', 'images are')} "
            text += f"now in `{earlier}`"
            self._report(Note(code="W_IMAGES_PUT_ASIDE", text=text))
        else:
            earlier.rmdir()

    def _make_folder(self) -> None:
        place = self._folder if self._folder.exists() else self._folder.absolute().parent
        self._temp = place / f".vsr-{secrets.token_hex(6)}"
        self._temp.mkdir()
        self._resources.callback(shutil.rmtree, self._temp, ignore_errors=True)

    def _decode(self, names: list[str]) -> None:
        for name in names:
            try:
                with av.open(f"file:{self._temp / name}", format="png_pipe") as image:
                    next(image.decode(video=0))
            except MemoryError:
                raise
            except (av.FFmpegError, StopIteration) as error:
                raise VerificationError(
                    f"the image `{name}` cannot be read back", why=str(error), hint="start again"
                ) from error

    def _name_of(self, index: int) -> str:
        return self._target.name if self._name is None else self._name.of(_FIRST + index)
