import { useState } from "react";
import { ApiError } from "../api/client";
import { useChangePassword } from "../api/session";
import { Button } from "../look/Button";
import { Slip } from "../look/Door";
import { Field } from "../look/Field";
import { Page } from "../look/Page";
import { ErrorNote } from "../look/states";
import { useToasts } from "../look/toasts";
import { wrongAt } from "../machine/order";

const NOTHING = { current: "", next: "", again: "" };

/** A new password for whoever is signed in. */
export function PasswordPage() {
  const change = useChangePassword();
  const { say } = useToasts();
  const [typed, setTyped] = useState(NOTHING);
  const [differ, setDiffer] = useState(false);
  const wrong = change.error instanceof ApiError ? change.error.fields : {};
  const field = (key: keyof typeof NOTHING, complete: string) => ({
    type: "password",
    autoComplete: complete,
    required: true,
    value: typed[key],
    onChange: (event: { target: { value: string } }) => { setTyped({ ...typed, [key]: event.target.value }); },
  });
  const submit = (): void => {
    const same = typed.next === typed.again;
    setDiffer(!same);
    if (!same) return;
    change.mutate(
      { current: typed.current, new: typed.next },
      {
        onSuccess: () => {
          setTyped(NOTHING);
          say("Your password is changed. Every other browser of yours is signed out.");
        },
      },
    );
  };
  return (
    <Page title="Password" about="Whoever knows it can sign in as you." narrow>
      <Slip onSubmit={submit}>
        <Field label="The one you have" wrong={wrongAt(wrong, "current")}>
          {(wiring) => <input {...wiring} {...field("current", "current-password")} />}
        </Field>
        <Field label="The new one" hint="Eight characters at least, and not a common one." wrong={wrongAt(wrong, "new")}>
          {(wiring) => <input {...wiring} {...field("next", "new-password")} />}
        </Field>
        <Field label="The new one, once more" wrong={differ ? "These are two different ones." : undefined}>
          {(wiring) => <input {...wiring} {...field("again", "new-password")} />}
        </Field>
        {change.isError && <ErrorNote error={change.error} safe="Your password is the one it was." />}
        <Button type="submit" look="go" disabled={change.isPending}>
          {change.isPending ? "Changing…" : "Change it"}
        </Button>
      </Slip>
    </Page>
  );
}
