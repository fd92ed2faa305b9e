"""Single images: each frame a PNG file of its own, all of them named when the last is written."""

import os
import secrets
import shutil
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from vsr_cli.atomic import move_into_place
from vsr_cli.errors import OutputError, VerificationError
from vsr_cli.events import Report
from vsr_cli.media.containers import is_single_image
from vsr_cli.media.resources import ResourceOwner
from vsr_cli.media.side_streams import SideStreams
from vsr_cli.media.writing.destination import output_errors, split_pattern
from vsr_cli.media.writing.muxer import AddVideoStream
from vsr_cli.media.writing.output_plan import OutputPlan
from vsr_cli.media.writing.stream_plan import StreamPlanner

_FIRST = 1  # number of the first image, as FFmpeg counts


class ImageSequenceWriter(ResourceOwner):
    """Writes packets, each a whole image, into a hidden folder, and moves them out at the end.

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
        """Make the hidden folder, in the folder of the images, which may be new.

        Args:
            plan: of the target: a folder, a name with a place for a number, or that of one image.
            add_video_stream: adds the stream whose packets `mux` will get.
            side_streams: what is left out.
            report: receives `W_..._DROPPED`.

        Raises:
            OutputError: the encoder refuses, or the folder cannot be written to.
        """
        target, info, config = plan.target, plan.info, plan.config
        self._target, self._config = target, config
        self._is_single = is_single_image(target)
        self._folder, self._name = (
            (target.parent, target.name) if self._is_single else split_pattern(target)
        )
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
        if self._is_single and self.num_images:
            raise OutputError(
                f"`{self._target.name}` is the name of one image, and there are more",
                hint="write `DIR/%05d.png`, or choose one frame as in `--frames 0:1`",
            )
        with output_errors(f"`{self._target}` cannot be written"):
            (self._temp / self._name_of(self.num_images)).write_bytes(bytes(packet))
        self.num_images += 1

    def finish(self) -> None:
        """Give the images their names.

        Raises:
            OutputError: nothing was written, or a name has been taken meanwhile.
            VerificationError: an image cannot be read back.
        """
        if self.num_images == 0:
            raise OutputError("no frame was written", hint="check the source with a player")
        names = [self._name_of(number) for number in range(self.num_images)]
        if self._config.verify == "full":
            self._decode(names)
        taken = [name for name in names if (self._folder / name).exists()]
        if taken and not self._config.overwrite:
            raise OutputError(
                f"`{self._folder / taken[0]}` has appeared meanwhile", hint="use another folder"
            )
        with output_errors(f"`{self._target}` cannot be written"):
            for name in names:
                if self._is_single:
                    replace = self._config.overwrite
                    move_into_place(self._temp / name, self._target, replace=replace)
                else:
                    (self._temp / name).replace(self._folder / name)

    def _make_folder(self) -> None:
        is_new = not self._folder.exists()
        self._folder.mkdir(exist_ok=True)
        if is_new:
            self._resources.callback(_remove_empty, self._folder)
        self._temp = self._folder / f".vsr-{secrets.token_hex(6)}"
        self._temp.mkdir()
        self._resources.callback(shutil.rmtree, self._temp, ignore_errors=True)

    def _decode(self, names: list[str]) -> None:
        for name in names:
            try:
                with av.open(f"file:{self._temp / name}", format="png_pipe") as image:
                    next(image.decode(video=0))
            except (av.FFmpegError, StopIteration) as error:
                raise VerificationError(
                    f"the image `{name}` cannot be read back", why=str(error), hint="start again"
                ) from error

    def _name_of(self, index: int) -> str:
        return self._name if self._is_single else self._name % (_FIRST + index)


def _remove_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
