import type { ReactNode } from "react";
import type { Estimate, Quality } from "../api/shapes";
import { percent } from "../look/numbers";
import { Quiet } from "../look/states";
import styles from "./Quality.module.css";
import { Whisker } from "./Whisker";
import { alphaWords, shareWords, worth } from "./words";

/** The four figures that say most, each with its interval. */
export function Figures({ found }: { found: Quality }) {
  const { share, kappa } = found.agreement;
  return (
    <ul className={styles["figures"]} aria-label="Agreement">
      <Figure name="Agreement on pairs" value={share === null ? "–" : percent(share.value)} found={share} line={0.5} told={shareWords(share)}>
        {share === null ? "no pair was ordered by two people" : `of ${Math.round(share.count).toLocaleString()} comparisons, ties apart; half would be chance`}
      </Figure>
      <Figure name="Beyond chance (κ)" value={kappa === null ? "–" : kappa.value.toFixed(2)} found={kappa} told={alphaWords(kappa)}>
        {kappa === null ? "not enough to say" : "ties count as words of their own"}
      </Figure>
      <Figure name="Places (Krippendorff's α)" value={found.rank_alpha === null ? "–" : found.rank_alpha.value.toFixed(2)} found={found.rank_alpha} line={0.8} told={alphaWords(found.rank_alpha)}>
        {found.rank_alpha === null ? "no two people ranked the same responses" : `${worth(found.rank_alpha.value)}; 0.80 is customarily reliable`}
      </Figure>
      <Figure name="Ratings (Krippendorff's α)" value={found.rating_alpha === null ? "–" : found.rating_alpha.value.toFixed(2)} found={found.rating_alpha} line={0.8} told={alphaWords(found.rating_alpha)}>
        {found.rating_alpha === null ? "no two people rated the same responses" : worth(found.rating_alpha.value)}
      </Figure>
    </ul>
  );
}

interface FigureProps {
  name: string;
  value: string;
  found: Estimate | null;
  line?: number;
  told: string;
  children: ReactNode;
}

function Figure({ name, value, found, line, told, children }: FigureProps) {
  return (
    <li className={styles["figure"]}>
      <span>{name}</span>
      <b>{value}</b>
      <Whisker found={found} label={`${name}: ${told}`} line={line} />
      <Quiet>{children}</Quiet>
    </li>
  );
}
