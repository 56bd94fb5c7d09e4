import { useMyProgress } from "../api/progress";
import { useProject, useSlug } from "../api/project";
import { ButtonLink } from "../look/Button";
import { Card } from "../look/Card";
import { Page } from "../look/Page";
import { ErrorNote, Quiet, Skeleton } from "../look/states";
import { lasting } from "../look/times";
import { Done } from "./Done";
import styles from "./HomePage.module.css";

/** An annotator's start: what is open, and what they have done. */
export function HomePage() {
  const slug = useSlug();
  const project = useProject(slug);
  const progress = useMyProgress(slug);
  return (
    <Page title={project.data?.name ?? "Home"} about={project.data?.description}>
      {progress.isPending && <Skeleton blocks={2} lines={0} />}
      {progress.isError && <ErrorNote error={progress.error} onRetry={() => void progress.refetch()} />}
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
              none="No ranking tasks are open. They appear when a policy has written new responses."
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
          </div>
          {progress.data.today.seconds_each != null && (
            <Quiet>Your pace today: {lasting(progress.data.today.seconds_each)} each.</Quiet>
          )}
          <Done slug={slug} />
        </>
      )}
    </Page>
  );
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
