import { messageOf } from "../api/client";
import { type NewReport, reportPrompt } from "../api/leases";
import { useToasts } from "../look/toasts";
import { ReasonDialog } from "./ReasonDialog";
import { REPORTED } from "./reported";

const REASONS = (["harmful", "personal_data", "broken", "asked_before"] as const).map((reason) => ({ reason, words: REPORTED[reason] }));

/** Tell those who lead that something is wrong with a prompt; the task stays, and can be finished or skipped. */
export function ReportDialog({ lease, onClose }: { lease: string; onClose: () => void }) {
  const { say } = useToasts();
  const report = (body: NewReport): void => {
    onClose();
    reportPrompt(lease, body)
      .then(() => { say("Reported. You can still finish the task, or skip it."); })
      .catch((error: unknown) => { say(`The prompt could not be reported: ${messageOf(error)}`); });
  };
  return (
    <ReasonDialog
      title="What is wrong with this prompt?"
      about="A reviewer reads it. The task stays on your desk."
      reasons={REASONS.map((each) => each.words)}
      act="Report"
      longest={2000}
      onReason={(index) => { report({ reason: REASONS[index]?.reason ?? "other", note: "" }); }}
      onOwn={(note) => { report({ reason: "other", note }); }}
      onClose={onClose}
    />
  );
}
