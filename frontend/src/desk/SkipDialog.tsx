import { ReasonDialog } from "./ReasonDialog";

const REASONS = ["The prompt is unclear", "I know too little about this", "It holds personal data", "It is upsetting", "Something looks broken"];

/** Skip with a reason: one key, or words of one's own. */
export function SkipDialog({ onSkip, onClose }: { onSkip: (reason: string) => void; onClose: () => void }) {
  const byIndex = (index: number): void => { onSkip(REASONS[index] ?? ""); };
  return <ReasonDialog title="Why skip this task?" reasons={REASONS} act="Skip" longest={500} onReason={byIndex} onOwn={onSkip} onClose={onClose} />;
}
