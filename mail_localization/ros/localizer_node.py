"""The node: sensor topics in, `pose` out, through the same Localizer that the evaluator drives."""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Empty, SetBool, Trigger

from mail_localization.errors import ConfigError, MailLocalizationError
from mail_localization.ros.inputs import Inputs
from mail_localization.ros.merged_queue import MergedQueue
from mail_localization.ros.outputs import Outputs
from mail_localization.ros.parameters import Parameters
from mail_localization.ros.pipeline import Pipeline
from mail_localization.ros.reports import Reports
from mail_localization.ros.session import TOPICS, Session
from mail_localization.ros.settings import LIVE, NodeSettings
from mail_localization.ros.spinning import run

NAME = "localizer_node"
_BACKWARD = Duration(nanoseconds=-100_000_000)
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class LocalizerNode(LifecycleNode):  # type: ignore[misc]
    """Unconfigured it holds parameters; inactive the model, services and diagnostics; active it listens and publishes.

    A transition that cannot be made leaves the state as it was, with the reason in the log.
    """

    def __init__(self) -> None:
        super().__init__(NAME)
        self.problems: Counter[str] = Counter()
        self.session: Session | None = None
        self._pipeline: Pipeline | None = None
        self._reports: Reports | None = None
        self._jumps: Any = None
        self._services_of_ours: list[Any] = []
        self._enabled = True
        self._refusal: MailLocalizationError | None = None
        self._refuse: Callable[[str], Any] = self.get_logger().error
        self.parameters = Parameters(self, NodeSettings, LIVE, in_use=lambda: self.session is not None)
        self._answer_illegal_transitions()

    @property
    def settings(self) -> NodeSettings:
        """The parameters as they are now."""
        return self.parameters.current

    @property
    def inputs(self) -> Inputs | None:
        """The subscriptions, while the node listens."""
        return None if self._pipeline is None else self._pipeline.inputs

    @property
    def _outputs(self) -> Outputs | None:
        return None if self._pipeline is None else self._pipeline.outputs

    def autostart(self) -> None:
        """Configure and activate; the error of whichever is refused."""
        self._refuse = self.get_logger().debug  # The caller says it.
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != _SUCCESS:
                raise self._refusal or RuntimeError("the node did not start; see the traceback above")
        self._refuse = self.get_logger().error

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and offer services and diagnostics."""
        return self._attempt(self._configure, undo=self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen and publish."""
        return self._attempt(self._activate, undo=self._silence)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and publishing; the samples so far are forgotten at the next activation."""
        return self._attempt(self._silence)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model: the next configuration loads what is on disk then."""
        return self._attempt(self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, from any state."""
        return self._attempt(self._release)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything after a bug, so that the node can be configured again."""
        return self._attempt(self._release)

    def destroy_node(self) -> None:
        """Release everything, then the node itself."""
        self._release()
        super().destroy_node()

    def _attempt(self, action: Callable[[], None], undo: Callable[[], None] | None = None) -> TransitionCallbackReturn:
        # rclpy drops whatever a transition raises, without a word.
        try:
            action()
        except Exception as err:
            if isinstance(err, MailLocalizationError):
                self._refusal = err
                self._refuse(str(err))
            else:
                self.get_logger().error(traceback.format_exc())
            if undo is not None:
                undo()
            return _FAILURE
        return _SUCCESS

    def _configure(self) -> None:
        topics = {stream: self.resolve_topic_name(topic) for stream, topic in TOPICS.items()}
        self.session = Session(lambda: self.settings, self.problems, topics)
        self._reports = Reports(self, self.session, self._resting, self._notes)
        services = {
            "reset": (Trigger, self._on_reset),
            "reinitialize_global_localization": (Empty, self._on_reinitialize),
            "set_enabled": (SetBool, self._on_set_enabled),
        }
        self._services_of_ours = [self.create_service(kind, name, call) for name, (kind, call) in services.items()]
        forward = Duration(seconds=self.settings.max_time_jump)
        threshold = JumpThreshold(min_forward=forward, min_backward=_BACKWARD, on_clock_change=True)
        self._jumps = self.get_clock().create_jump_callback(threshold, post_callback=self._on_jump)

    def _activate(self) -> None:
        session = self._configured()
        self._pipeline = Pipeline(self, session, lambda: self.settings, listening=self._enabled)
        listens = ", ".join(TOPICS[stream] for stream in sorted(session.inputs))
        self.get_logger().info(f"localizing with {session.method} from {session.folder}, listening to {listens}")

    def _silence(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
        self._pipeline = None

    def _release(self) -> None:
        self._silence()
        if self._reports is not None:
            self._reports.close()
        if self._jumps is not None:
            self._jumps.unregister()
        for service in self._services_of_ours:
            self.destroy_service(service)
        self._services_of_ours.clear()
        self.session = self._reports = self._jumps = None

    def _configured(self) -> Session:
        if self.session is None:
            raise ConfigError("the node is not configured")
        return self.session

    def forget(self) -> None:
        """Forget all samples, the position and the path; the counters stay."""
        part = self._pipeline or self.session
        if part is not None:
            part.reset()

    def _resting(self) -> str:
        if self._pipeline is None:
            return "inactive; a lifecycle manager activates it"
        return "" if self.inputs is not None else "disabled; call set_enabled with true"

    def _notes(self) -> dict[str, str]:
        return {} if self.inputs is None else self.inputs.notes

    def _on_jump(self, jump: TimeJump) -> None:
        began = self.get_clock().now().nanoseconds <= jump.delta.nanoseconds
        if began or not self.settings.reset_on_time_jump:
            return  # The first message on /clock is no jump.
        self.problems["clock.jump"] += 1
        self.get_logger().warning(f"the clock jumped by {jump.delta.nanoseconds * 1e-9:.1f} s; starting anew")
        self.forget()

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.forget()
        response.success, response.message = True, "samples, position and path are forgotten"
        return response

    def _on_reinitialize(self, request: Empty.Request, response: Empty.Response) -> Empty.Response:
        self.forget()
        return response

    def _on_set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Listen, or not, while active; the choice holds for later activations."""
        self._enabled, pipeline = request.data, self._pipeline
        if pipeline is not None and not request.data:
            pipeline.deafen()
        elif pipeline is not None and pipeline.inputs is None:
            pipeline.reset()
            pipeline.listen()
        response.success = True
        response.message = ("enabled" if request.data else "disabled") + (
            "" if pipeline is not None else ", once active"
        )
        return response

    def _answer_illegal_transitions(self) -> None:
        """Make change_state answer a transition that the state does not have with `success: false`."""
        # rclpy lets the RCLError out of its service callback, which ends spin() and with it the process.
        service = self._service_change_state
        change = service.callback

        def guarded(request: Any, response: Any) -> Any:
            try:
                return change(request, response)
            except RuntimeError as err:
                self.get_logger().warning(f"transition refused: {str(err).split(', at /')[0]}")
                response.success = False
                return response

        service.callback = guarded


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM (exit code 0); 1 with one FATAL line where it cannot start."""
    return run(LocalizerNode, NAME, args, begin=_begin, sensors=_sensors)


def _begin(node: LocalizerNode) -> None:
    if node.settings.autostart:
        node.autostart()


def _sensors(node: LocalizerNode) -> MergedQueue | None:
    return None if node.inputs is None else node.inputs.queue


if __name__ == "__main__":
    sys.exit(main())
