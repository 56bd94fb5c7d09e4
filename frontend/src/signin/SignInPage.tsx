import { useState } from "react";
import { useSignIn } from "../api/session";
import { Button } from "../look/Button";
import { Door, Slip } from "../look/Door";
import { Field } from "../look/Field";
import { useTitle } from "../look/Page";
import { ErrorNote, Quiet } from "../look/states";

export function SignInPage() {
  useTitle("Sign in");
  const signIn = useSignIn();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  return (
    <Door title="Laurel" about="People judge, the model learns, people judge again.">
      <Slip onSubmit={() => { signIn.mutate({ username, password }); }}>
        <Field label="User name">
          {(wiring) => (
            <input {...wiring} autoComplete="username" autoCapitalize="none" required value={username} onChange={(event) => { setUsername(event.target.value); }} />
          )}
        </Field>
        <Field label="Password">
          {(wiring) => (
            <input {...wiring} type="password" autoComplete="current-password" required value={password} onChange={(event) => { setPassword(event.target.value); }} />
          )}
        </Field>
        {signIn.isError && <ErrorNote error={signIn.error} />}
        <Button type="submit" look="go" disabled={signIn.isPending}>
          {signIn.isPending ? "Signing in…" : "Sign in"}
        </Button>
        <Quiet>Forgotten it? Whoever runs this Laurel can give you a new password.</Quiet>
      </Slip>
    </Door>
  );
}
