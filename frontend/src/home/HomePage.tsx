import { useMyProgress } from "../api/progress";
import { useProject, useSlug } from "../api/project";
import type { Standing } from "../api/shapes";
import { useStanding } from "../api/standing";
import { ButtonLink } from "../look/Button";
import { Card } from "../look/Card";
import { Page } from "../look/Page";
import { ErrorNote, Note, Quiet, Skeleton } from "../look/states";
import { nothingToRank } from "../look/words";
import { Days } from "./Days";
import { Done } from "./Done";
import { Returned } from "./Returned";
import styles from "./HomePage.module.css";

/** An annotator's start: what is open, and what they have done. */
export function HomePage() {
  const slug = useSlug();
  const project = useProject(slug);
  const progress = useMyProgress(slug);
  const standing = useStanding(slug);
  return (
    <Page title={project.data?.name ?? "Home"} about={project.data && <span dir="auto">{project.data.description}</span>}>
      {progress.isPending && <Skeleton blocks={2} lines={0} />}
      {progress.isError && <ErrorNote error={progress.error} onRetry={() => void progress.refetch()} />}
      {standing.data && <Rules standing={standing.data} />}
      <Returned slug={slug} />
      {progress.data && (
        <>
          <div className={styles["grid"]}>
            <Work
              slug={slug}
              to="rank"
              name="Rank"
              open={progress.data.open.ranking}
              today={progress.data.today.rankings}
              week={progress.data.week.rankings}
              about="Read a few responses to one prompt, rate each from 1 to 7 and put them in order."
              none={nothingToRank(progress.data.being_written, "No ranking tasks are open. They appear when a policy has written new responses.")}
              primary={progress.data.open.ranking > 0}
            />
            <Work
              slug={slug}
              to="demonstrate"
              name="Demonstrate"
              open={progress.data.open.demonstration}
              today={progress.data.today.demonstrations}
              week={progress.data.week.demonstrations}
              about="Write the response that you would have wished for."
              none="No demonstration tasks are open. They appear when someone asks for them."
              primary={progress.data.open.ranking === 0 && progress.data.open.demonstration > 0}
            />
            <Card title="Converse">
              <p className={styles["about"]}>Play both sides, the user and the ideal assistant: a demonstration of several turns, from nothing.</p>
              <div className={styles["foot"]}>
                <Quiet>Counted with your demonstrations</Quiet>
                <ButtonLink to={`/p/${slug}/converse`} look="plain">
                  Converse
                </ButtonLink>
              </div>
            </Card>
          </div>
          <Days progress={progress.data} standing={standing.data} />
          <Done slug={slug} />
        </>
      )}
    </Page>
  );
}

/** What the project's rules ask of me now. */
function Rules({ standing }: { standing: Standing }) {
  const { first_tasks: first, left_today: left } = standing;
  if (first?.failed === true) return <Note>You did not pass this project’s first tasks. Its leads can let you try again.</Note>;
  if (first !== null) return <Note>{`Rank ${String(first.needed)} first tasks, of which ${String(first.done)} are done. They show that you know the guidelines; the real work comes after them.`}</Note>;
  if (left === 0) return <Note>You have done what this project asks of one person in a day. It goes on tomorrow.</Note>;
  return left === null ? null : <Quiet>{`${String(left)} more ${left === 1 ? "task" : "tasks"} today, then it is enough.`}</Quiet>;
}

interface WorkProps {
  slug: string;
  to: string;
  name: string;
  open: number;
  today: number;
  week: number;
  about: string;
  none: string;
  primary: boolean;
}

function Work({ slug, to, name, open, today, week, about, none, primary }: WorkProps) {
  return (
    <Card title={name}>
      <p className={styles["open"]}>
        <b>{open.toLocaleString()}</b> <span>open</span>
      </p>
      <p className={styles["about"]}>{open > 0 ? about : none}</p>
      <div className={styles["foot"]}>
        <Quiet>
          {today} today · {week} this week
        </Quiet>
        <ButtonLink to={`/p/${slug}/${to}`} look={primary ? "go" : "plain"}>
          {name}
        </ButtonLink>
      </div>
    </Card>
  );
}
