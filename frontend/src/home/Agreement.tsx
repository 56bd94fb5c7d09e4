import type { Standing } from "../api/shapes";
import { percent } from "../look/numbers";

type Agreement = NonNullable<Standing["agreement"]>;

/** How far I agree with the others and with known answers, where the project shows it. */
export function Agreement({ agreement }: { agreement: Agreement }) {
  return (
    <>
      <Share name="Agreement with others" share={agreement.others?.share ?? null} none="Nobody has ranked the same tasks yet." />
      <Share name="Agreement with known answers" share={agreement.known?.share ?? null} none="None of your tasks had one yet." />
    </>
  );
}

function Share({ name, share, none }: { name: string; share: NonNullable<Agreement["others"]>["share"]; none: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <b>{share === null ? "–" : percent(share.value)}</b>{" "}
        <span>
          {share === null && none}
          {share !== null && `of ${share.count.toLocaleString()} pairs`}
          {share?.low != null && share.high != null && ` · 95 %: ${percent(share.low)} to ${percent(share.high)}`}
        </span>
      </dd>
    </div>
  );
}
