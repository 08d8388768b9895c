"""The node: sensor topics in, `pose` out, through the same Localizer that the evaluator drives."""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from std_srvs.srv import Empty, SetBool, Trigger

from mail_localization.errors import ConfigError, MailLocalizationError
from mail_localization.ros.inputs import Inputs
from mail_localization.ros.outputs import Outputs
from mail_localization.ros.parameters import Parameters
from mail_localization.ros.reports import Reports
from mail_localization.ros.session import TOPICS, Session
from mail_localization.ros.settings import LIVE, NodeSettings
from mail_localization.ros.spinning import spin, start
from mail_localization.ros.stop_signals import StopSignals
from mail_localization.ros.transforms import TransformOutput
from mail_localization.types import PoseEstimate, Sample

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
        self.inputs: Inputs | None = None
        self._outputs: Outputs | None = None
        self._transforms: TransformOutput | None = None
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
        self.forget()
        self._transforms = TransformOutput(self, lambda: self.settings)
        if self._enabled:
            self._listen()
        # Last of all: whoever sees `pose` on the graph sees every subscription too.
        self._outputs = Outputs(self, lambda: self.settings, self.problems, session.calibration)
        listens = ", ".join(TOPICS[stream] for stream in sorted(session.inputs))
        self.get_logger().info(f"localizing with {session.method} from {session.folder}, listening to {listens}")

    def _listen(self) -> None:
        self.inputs = Inputs(self, self._configured(), lambda: self.settings, self._publish)

    def _silence(self) -> None:
        for part in (self.inputs, self._outputs, self._transforms):
            if part is not None:
                part.close()
        self.inputs = self._outputs = self._transforms = None

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

    def _publish(self, stream: str, sample: Sample, estimate: PoseEstimate | None) -> None:
        """Publish what a sample made known."""
        session, outputs, transforms = self._configured(), self._outputs, self._transforms
        if outputs is None or transforms is None:
            return
        aided = session.aided
        if estimate is None and stream == "odom" and aided is not None and outputs.wants_carried(sample.t_ns):
            estimate = aided.carried()
        if estimate is not None and outputs.estimate(estimate):
            transforms.pose(estimate)
        if stream == "odom" and aided is not None:
            transforms.odometry(aided.map_T_odom(), sample.t_ns)

    def forget(self) -> None:
        """Forget all samples, the position and the path; the counters stay."""
        for part in (self.session, self._outputs, self._transforms):
            if part is not None:
                part.reset()

    def _resting(self) -> str:
        if self._outputs is None:
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
        self._enabled, active = request.data, self._outputs is not None
        if active and not request.data and self.inputs is not None:
            self.inputs.close()
            self.inputs = None
        elif active and request.data and self.inputs is None:
            self.forget()
            self._listen()
        response.success = True
        response.message = ("enabled" if request.data else "disabled") + ("" if active else ", once active")
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
    signals = StopSignals()
    node = None
    try:
        node = start(LocalizerNode, args)
        if node.settings.autostart:
            node.autostart()
        signals.leave_at_once = False
        spin(node, node.problems)
    except MailLocalizationError as err:
        get_logger(NAME).fatal(str(err))
        return 1
    finally:
        signals.leave_at_once = False
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        signals.ignore()
    return 0


if __name__ == "__main__":
    sys.exit(main())
