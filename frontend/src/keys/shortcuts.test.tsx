import { createRoot } from "react-dom/client";
import { expect, test, vi } from "vitest";

import { KeysProvider, useShortcuts } from "./shortcuts";

function Bell({ ring }: { ring: () => void }) {
  useShortcuts("Bell", [{ keys: "b", does: "Ring", run: ring }]);
  return <p id="bell">A bell</p>;
}

test("what is on the screen can be pressed at once, before the browser gets to effects", async () => {
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", false);
  const ring = vi.fn();
  const host = document.body.appendChild(document.createElement("div"));
  const drawn = new Promise<void>((seen) => {
    new MutationObserver(() => {
      if (host.querySelector("#bell") === null) return;
      document.dispatchEvent(new KeyboardEvent("keydown", { key: "b" }));
      seen();
    }).observe(host, { childList: true, subtree: true });
  });
  const root = createRoot(host);
  root.render(
    <KeysProvider onHelp={() => undefined}>
      <Bell ring={ring} />
    </KeysProvider>,
  );
  await drawn;
  expect(ring).toHaveBeenCalledTimes(1);
  root.unmount();
  host.remove();
  vi.unstubAllGlobals();
});
