import { Button } from "../look/Button";
import { Kbd } from "../look/Kbd";
import { Quiet } from "../look/states";
import { when } from "../look/times";
import styles from "./Chat.module.css";
import type { KeptTalk } from "./shelf";
import { titleOf } from "./talk";

interface Props {
  talks: readonly KeptTalk[];
  open: string;
  onOpen: (id: string) => void;
  onNew: () => void;
  onForget: (talk: KeptTalk) => void;
}

/** What was talked about, the latest first. */
export function TalkList({ talks, open, onOpen, onNew, onForget }: Props) {
  return (
    <div className={styles["list"]}>
      <Button onClick={onNew}>
        New conversation <Kbd>N</Kbd>
      </Button>
      <ul>
        {talks.map((each) => (
          <li key={each.id} className={styles["entry"]}>
            <button type="button" aria-current={each.id === open ? "true" : undefined} onClick={() => { onOpen(each.id); }}>
              <span className={styles["title"]}>{titleOf(each.talk)}</span>
              <Quiet>{when(new Date(each.at).toISOString())}</Quiet>
            </button>
            <Button look="quiet" small aria-label={`Delete “${titleOf(each.talk)}”`} title="Delete" onClick={() => { onForget(each); }}>
              ×
            </Button>
          </li>
        ))}
      </ul>
      <Quiet>Conversations are kept on this device, and nowhere else.</Quiet>
    </div>
  );
}
