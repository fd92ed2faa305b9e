"""A cluster without Ray: workers that answer at once, as many as it has room for."""

from typing import Any

from vsr_cli.pipeline.cluster.actor import UnitWorker
from vsr_cli.pipeline.cluster.sight import Fit, Sight


def sight_of(**changes: Any) -> Sight:  # noqa: ANN401
    fit = Fit(
        clip_length=8,
        tile_size=None,
        peak_bytes=10**9,
        free_bytes=4 * 10**9,
        state_bytes=1,
        scratch_bytes=1,
    )
    usual: dict[str, Any] = {
        **{"node": "one", "vsr": "1.0", "torch": "2.9", "weights": "a" * 64, "device": "cpu"},
        **{"dtype": "float32", "sees_source": True, "sees_folder": True, "plan": fit},
    }
    return Sight(**{**usual, **changes})


class FakeCall:
    """A reference to what a worker will say."""

    def __init__(self, order: str) -> None:
        self.order = order


class FakeActor:
    def __init__(self) -> None:
        self.calls: list[FakeCall] = []
        self.look = self.scan = self.compute = self
        self.stop = self.forget = self  # of a mailbox
        self.is_dead = False

    def remote(self, order: Any, *_: object) -> FakeCall:  # noqa: ANN401
        self.calls.append(FakeCall(order))
        return self.calls[-1]


class FakeRay:
    """A cluster with room for so many workers, which are ready at once."""

    class exceptions:  # noqa: N801  as Ray calls it
        class RayError(Exception): ...

    def __init__(self, room: int) -> None:
        self.room, self.actors = room, list[FakeActor]()
        self.util = self
        self.scheduling_strategies = self

    def NodeAffinitySchedulingStrategy(self, **_: object) -> None:  # noqa: N802  likewise
        return None

    def get_runtime_context(self) -> "FakeRay":
        return self

    def get_node_id(self) -> str:
        return "here"

    def remote(self, kind: type) -> Any:  # noqa: ANN401
        ray = self

        class Made:
            def options(self, **_: object) -> "Made":
                return self

            def remote(self, *_: object) -> FakeActor:
                if kind is UnitWorker:
                    ray.actors.append(FakeActor())
                    return ray.actors[-1]
                return FakeActor()

        return Made()

    def wait(self, calls: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        here = [call for actor in self.actors[: self.room] for call in actor.calls]
        return [call for call in calls if call in here], []

    def get(self, call: FakeCall) -> str:
        return sight_of(node=str(call.order)).to_line()

    def kill(self, actor: FakeActor) -> None:
        actor.is_dead = True
