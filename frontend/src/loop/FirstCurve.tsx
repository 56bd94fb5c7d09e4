import { useMemo } from "react";
import type { Curves } from "../api/curves";
import { Quiet } from "../look/states";
import { Chart } from "../machine/Chart";
import { panelsOf, quantityName } from "../machine/panels";

/** The panel that people look at first. */
export default function FirstCurve({ curves }: { curves: Curves }) {
  const panel = useMemo(() => panelsOf(curves.series)[0], [curves]);
  return panel === undefined ? <Quiet>The first numbers are still to come.</Quiet> : <Chart title={quantityName(panel.quantity)} lines={panel.lines} />;
}
