import { useState } from "react";
import { useSlug } from "../api/project";
import { useQuality } from "../api/quality";
import type { Quality } from "../api/shapes";
import { ButtonLink } from "../look/Button";
import forms from "../look/forms.module.css";
import { percent } from "../look/numbers";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Note, Quiet, Skeleton } from "../look/states";
import { when } from "../look/times";
import { Disputed } from "./Disputed";
import { Figures } from "./Figures";
import { Flags } from "./Flags";
import { Pairs } from "./Pairs";
import { People } from "./People";
import { Places } from "./Places";
import styles from "./Quality.module.css";
import { Ratings } from "./Ratings";
import { StandingOut } from "./StandingOut";

/** How well a project labels, at a glance. */
export function QualityPage() {
  const slug = useSlug();
  const [simulated, setSimulated] = useState(false);
  const quality = useQuality(slug, simulated);
  const found = quality.data;
  return (
    <Page
      title="Quality"
      about={found && told(found)}
      actions={
        <label className={forms["check"]}>
          <input type="checkbox" checked={simulated} onChange={(event) => { setSimulated(event.target.checked); }} />
          <span>With simulated annotators</span>
        </label>
      }
    >
      {quality.isPending && <Skeleton lines={0} blocks={3} />}
      {quality.isError && <ErrorNote error={quality.error} safe="What was said is safe." onRetry={() => void quality.refetch()} />}
      {found && found.judgements === 0 && (
        <Empty title="Nothing to measure yet" action={<ButtonLink to={`/p/${slug}/prompts`}>Look at the prompts</ButtonLink>}>
          Once people have judged, their agreement, pace and ratings are here{simulated ? "." : "; simulated annotators are left out unless you ask for them."}
        </Empty>
      )}
      {found && found.judgements > 0 && <Report slug={slug} found={found} />}
    </Page>
  );
}

function told(found: Quality): string {
  const many = (count: number, one: string): string => `${count.toLocaleString()} ${one}${count === 1 ? "" : "s"}`;
  return `${many(found.judgements, "judgement")} of ${many(found.tasks, "task")}, ${found.shared_tasks.toLocaleString()} of them judged by two annotators or more. As of ${when(found.made_at)}.`;
}

function Report({ slug, found }: { slug: string; found: Quality }) {
  return (
    <>
      {found.capped && <Note>Only the newest {found.judgements.toLocaleString()} judgements are measured here; the older ones are kept.</Note>}
      <Figures found={found} />
      {found.shared_tasks === 0 && (
        <Note action={<ButtonLink small to={`/p/${slug}/settings`}>Ask several annotators a task</ButtonLink>}>
          No task was judged by two people yet, so there is no agreement to show.
        </Note>
      )}
      <StandingOut slug={slug} found={found} />
      <People found={found} />
      <div className={styles["two"]}>
        <Places found={found} />
        <Ratings found={found} />
      </div>
      <div className={styles["two"]}>
        <Pairs found={found} />
        <Flags found={found} />
      </div>
      <Disputed slug={slug} found={found} />
      {found.ceiling !== null && (
        <Quiet>
          The ceiling: where two annotators agree this often, a perfect reward model would be right on {percent(found.ceiling)} of one annotator's labels, and no
          reward model on more.
        </Quiet>
      )}
    </>
  );
}
