import type { Quality } from "../api/shapes";
import { ButtonLink } from "../look/Button";
import { Card } from "../look/Card";
import { Quiet, Tag } from "../look/states";
import styles from "./Quality.module.css";

const CODES: Record<string, string> = {
  too_fast: "too fast",
  faster_than_others: "fast",
  same_order: "same order",
  leans_to_a_side: "one side",
  ties_everything: "ties",
  ratings_moved: "drift",
};

/** What a person may want to look at. It changes nobody's work, weight or standing. */
export function StandingOut({ slug, found }: { slug: string; found: Quality }) {
  if (found.standing_out.length === 0) return null;
  return (
    <Card title="Worth a look" aside={<Quiet>Nothing follows from these by itself.</Quiet>}>
      <ul className={styles["sentences"]}>
        {found.standing_out.map((each) => (
          <li key={`${each.code} ${String(each.annotator)} ${each.sentence}`}>
            <Tag tone="warn">{CODES[each.code] ?? each.code.replaceAll("_", " ")}</Tag>
            <span>{each.sentence}</span>
          </li>
        ))}
      </ul>
      <ButtonLink small look="quiet" to={`/p/${slug}/review`}>
        Review what they said
      </ButtonLink>
    </Card>
  );
}
