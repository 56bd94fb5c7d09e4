import { useKeys, useSingleKeys } from "../keys/shortcuts";
import { Dialog } from "../look/Dialog";
import { Kbd } from "../look/Kbd";
import styles from "./HelpOverlay.module.css";

const SIGNS: Record<string, string> = { Enter: "⏎", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Control: "Ctrl" };

function signs(key: string): string {
  return key
    .split("+")
    .map((part) => SIGNS[part] ?? (part.length === 1 ? part.toUpperCase() : part))
    .join(" ");
}

/** Every key of the page, from the shortcuts that are registered now. */
export function HelpOverlay({ onClose }: { onClose: () => void }) {
  const { groups } = useKeys();
  const [single, setSingle] = useSingleKeys();
  return (
    <Dialog title="Keys of this page" onClose={onClose}>
      {groups()
        .toReversed()
        .map(({ group, shortcuts }) => (
          <section key={group} className={styles["group"]} aria-label={group}>
            <h3>{group}</h3>
            <dl className={styles["keys"]}>
              {shortcuts.map((each) => (
                <div key={each.does} className={styles["row"]}>
                  <dt>
                    {(each.shown ?? [each.keys].flat().map(signs)).map((key) => (
                      <Kbd key={key}>{key}</Kbd>
                    ))}
                  </dt>
                  <dd>{each.does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      <label className={styles["choice"]}>
        <input type="checkbox" checked={single} onChange={(event) => { setSingle(event.target.checked); }} />
        <div>
          Single keys do things
          <span>Off: letters and digits do nothing by themselves, and Ctrl ⏎ still submits. Kept on this device.</span>
        </div>
      </label>
    </Dialog>
  );
}
