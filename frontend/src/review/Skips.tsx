import type { TaskToReview } from "../api/shapes";
import { Card } from "../look/Card";
import { Quiet } from "../look/states";
import { Time } from "../look/Time";
import styles from "./Review.module.css";

/** Who passed the task over, and why. */
export function Skips({ task }: { task: TaskToReview }) {
  if (task.skipped.length === 0) return null;
  return (
    <Card title="Passed over by">
      <ul className={styles["reviews"]}>
        {task.skipped.map((each) => (
          <li key={`${String(each.annotator.id)} ${each.at}`}>
            <b>{each.annotator.name}</b> {each.reason === "" ? <Quiet>without a reason</Quiet> : <bdi>{each.reason}</bdi>}{" "}
            <Quiet>
              <Time at={each.at} />
            </Quiet>
          </li>
        ))}
      </ul>
    </Card>
  );
}
