"""The playground's page as a widget of Jupyter notebooks, by anywidget (minidl[notebook])."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from minidl import nn
from minidl._page import framed
from minidl.viz._playground import live
from minidl.viz._playground.settings import Settings
from minidl.viz._playground.training import build_model

SCRIPT = """
function render({ model, el }) {
  el.innerHTML = model.get("frame");
  const frame = el.querySelector("iframe");
  const view = `${Math.random()}`; // the widget may be shown more than once
  const asked = ({ data, source }) => {
    if (source === frame.contentWindow && data?.minidl) model.send({ ...data, view });
  };
  const answered = (message) => {
    if (message.view === view) frame.contentWindow?.postMessage(message, "*");
  };
  addEventListener("message", asked);
  model.on("msg:custom", answered);
  return () => {
    removeEventListener("message", asked);
    model.off("msg:custom", answered);
  };
}
export default { render };
"""


class Playground(anywidget.AnyWidget):
    """The page, whose questions this object answers in the kernel. Made by dl.viz.playground."""

    _esm = SCRIPT
    frame = traitlets.Unicode().tag(sync=True)

    def __init__(self, settings: Settings, height: int) -> None:
        self._live = live.Playground(settings)
        page = self._live.html(bridged=True)
        super().__init__(frame=framed(page, "Playground", height))
        self.on_msg(self._answer)

    def _answer(self, widget: Any, message: Any, buffers: Any) -> None:
        """Answer a question of a page: {"minidl": its number, "view", "name", "question"}."""
        if not isinstance(message, dict) or message.get("name") not in self._live.answers:
            return
        try:
            answer = self._live.answers[message["name"]](message.get("question"))
        except (ValueError, TypeError) as error:
            answer = {"error": str(error)}
        except Exception as error:  # the page waits for an answer
            answer = {"error": f"the playground failed: {error!r}"}
        own = {name: message.get(name) for name in ("minidl", "view")}
        self.send({**own, "answer": answer})

    @property
    def model(self) -> nn.Sequential:
        """A copy of the network with the weights that the page shows."""
        sessions = list(self._live.sessions.values())
        if not sessions:  # no page was shown yet
            return build_model(self._live.first)
        training = sessions[-1].trainings[0]
        made = build_model(training.settings)
        made.load_state_dict(training.model.state_dict())
        return made
