import { type SubmitEvent, useState } from "react";
import { useSignIn } from "../api/session";
import { Button } from "../look/Button";
import { Field } from "../look/Field";
import { Mark } from "../look/Mark";
import { useTitle } from "../look/Page";
import { ErrorNote, Quiet } from "../look/states";
import styles from "./SignInPage.module.css";

export function SignInPage() {
  useTitle("Sign in");
  const signIn = useSignIn();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    signIn.mutate({ username, password });
  };
  return (
    <main className={styles["page"]}>
      <div className={styles["sheet"]}>
        <div className={styles["mark"]}>
          <Mark size={40} />
          <h1>Laurel</h1>
          <p>People judge, the model learns, people judge again.</p>
        </div>
        <form className={styles["form"]} onSubmit={submit}>
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
        </form>
      </div>
    </main>
  );
}
