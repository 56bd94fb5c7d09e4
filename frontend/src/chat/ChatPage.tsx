import { useRef, useState } from "react";
import { useSearchParams } from "react-router";
import { useTalkers } from "../api/chat";
import { newId } from "../api/client";
import { useRole, useSlug } from "../api/project";
import { useSession } from "../api/session";
import type { Model } from "../api/shapes";
import { useShortcuts } from "../keys/shortcuts";
import { ButtonLink } from "../look/Button";
import { Dialog } from "../look/Dialog";
import { Page, useTitle } from "../look/Page";
import { Empty, ErrorNote, Skeleton, Spoken } from "../look/states";
import { useToasts } from "../look/toasts";
import styles from "./Chat.module.css";
import { forgetTalk, keepManner, keepTalk, keptManner, keptTalks, type KeptTalk, type Manner } from "./shelf";
import { EMPTY, fromKept, type Talk, titleOf } from "./talk";
import { TalkList } from "./TalkList";
import { Thread } from "./Thread";

/** Chat: talk to any policy of the project. */
export function ChatPage() {
  const slug = useSlug();
  const role = useRole();
  const user = useSession().data?.user.id ?? 0;
  const talkers = useTalkers(slug);
  if (talkers.isPending) {
    return (
      <Page title="Chat" narrow>
        <Skeleton lines={3} blocks={1} />
      </Page>
    );
  }
  if (talkers.isError) {
    return (
      <Page title="Chat" narrow>
        <ErrorNote error={talkers.error} safe="Your conversations are kept on this device." onRetry={() => void talkers.refetch()} />
      </Page>
    );
  }
  if (talkers.data.length === 0) {
    const maker = role === "researcher" || role === "admin";
    return (
      <Page title="Chat" narrow>
        <Empty title="There is nobody to talk to yet" action={maker && <ButtonLink to={`/p/${slug}/jobs/new?kind=policy.pretrain`}>Train a policy</ButtonLink>}>
          As soon as this project publishes a policy, you can talk to it here, word by word.
        </Empty>
      </Page>
    );
  }
  return <Room key={`${String(user)} ${slug}`} slug={slug} user={user} talkers={talkers.data} canRank={role !== "researcher"} />;
}

interface RoomProps {
  slug: string;
  user: number;
  talkers: readonly Model[];
  canRank: boolean;
}

/** The conversations that this device keeps, and the one that is open. */
function Room({ slug, user, talkers, canRank }: RoomProps) {
  const toasts = useToasts();
  const [address, setAddress] = useSearchParams();
  const [talks, setTalks] = useState(() => keptTalks(user, slug));
  const [manner, setManner] = useState(keptManner);
  const [fresh] = useState(newId);
  const [listing, setListing] = useState(false);
  // A reply may still be coming into a conversation that was deleted: it must not bring it back, but Undo must.
  const forgotten = useRef(new Map<string, KeptTalk>());
  const wanted = address.get("model");
  const open = address.get("talk") ?? (wanted === null ? talks[0]?.id : undefined) ?? fresh;
  const found = talks.find((each) => each.id === open);
  const model = [found?.model, wanted, talks[0]?.model].find((name) => talkers.some((each) => each.id === name)) ?? talkers[0]?.id ?? "";
  useTitle(found === undefined ? "Chat" : titleOf(found.talk));

  const show = (id: string): void => {
    setListing(false);
    setAddress({ talk: id });
  };
  const begin = (): void => { show(newId()); };
  const change = (manner: Manner): void => {
    setManner(manner);
    keepManner(manner);
  };
  const keepOpen = (talk: Talk, name: string): void => {
    const one = { id: open, at: Date.now(), model: name, talk };
    if (forgotten.current.has(open)) {
      forgotten.current.set(open, one);
      return;
    }
    setTalks(keepTalk(user, slug, one));
    if (wanted !== null) setAddress({ talk: open }, { replace: true });
  };
  const forget = (one: KeptTalk): void => {
    forgotten.current.set(one.id, one);
    setTalks(forgetTalk(user, slug, one.id));
    if (one.id === open) begin();
    toasts.say(`“${titleOf(one.talk)}” is deleted.`, () => {
      const latest = forgotten.current.get(one.id) ?? one;
      forgotten.current.delete(one.id);
      setTalks(keepTalk(user, slug, latest));
    });
  };
  useShortcuts("Conversations", [{ keys: "n", does: "Begin a new conversation", run: begin }]);
  const list = <TalkList talks={talks} open={open} onOpen={show} onNew={begin} onForget={forget} />;
  return (
    <main id="main" tabIndex={-1} className={styles["room"]}>
      <Spoken>
        <h1>Chat</h1>
      </Spoken>
      <aside className={styles["talks"]} aria-label="Conversations">
        {list}
      </aside>
      <Thread
        key={open}
        slug={slug}
        first={found === undefined ? EMPTY : fromKept(found.talk)}
        model={model}
        talkers={talkers}
        manner={{ ...manner, contest: manner.contest && canRank }}
        canRank={canRank}
        onManner={change}
        onChange={keepOpen}
        onList={() => { setListing(true); }}
      />
      {listing && (
        <Dialog title="Conversations" onClose={() => { setListing(false); }}>
          {list}
        </Dialog>
      )}
    </main>
  );
}
