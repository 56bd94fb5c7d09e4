import { useState } from "react";
import { useNavigate, useParams } from "react-router";
import { ApiError } from "../api/client";
import { useInvited, useJoin } from "../api/members";
import { useSession } from "../api/session";
import type { Invited } from "../api/shapes";
import { Button, ButtonLink } from "../look/Button";
import { Door, Slip } from "../look/Door";
import { Field } from "../look/Field";
import { useTitle } from "../look/Page";
import { Empty, ErrorNote, Quiet, Skeleton } from "../look/states";
import { wrongAt } from "../machine/order";
import { ROLES } from "./words";

/** Where the link of an invitation leads: a new account, or joining as who one is. */
export function JoinPage() {
  useTitle("Join");
  const token = useParams()["token"] ?? "";
  const invited = useInvited(token);
  const session = useSession();
  return (
    <Door title={invited.data ? invited.data.project : "Laurel"}>
      {invited.isPending && <Skeleton lines={4} />}
      {invited.isError && (
        <Empty title="This link opens nothing" action={<ButtonLink to="/">To Laurel</ButtonLink>}>
          {invited.error.message}
        </Empty>
      )}
      {invited.data && <Form token={token} invited={invited.data} name={session.data?.user.name ?? null} />}
    </Door>
  );
}

function Form({ token, invited, name }: { token: string; invited: Invited; name: string | null }) {
  const join = useJoin(token);
  const navigate = useNavigate();
  const [account, setAccount] = useState({ username: "", name: "", password: "" });
  const [other, setOther] = useState(false);
  const wrong = join.error instanceof ApiError ? join.error.fields : {};
  const known = name !== null && !other;
  const go = { onSuccess: () => void navigate(`/p/${invited.slug}`) };
  const field = (key: keyof typeof account) => ({
    required: key !== "name",
    value: account[key],
    onChange: (event: { target: { value: string } }) => { setAccount({ ...account, [key]: event.target.value }); },
  });
  const role = ROLES[invited.role];
  return (
    <Slip noValidate onSubmit={() => { join.mutate(known ? { name: "" } : account, go); }}>
      <p>
        {invited.invited_by === null ? "You are invited" : `${invited.invited_by} invites you`} as <b>{role.name.toLowerCase()}</b>. <Quiet>{role.may}</Quiet>
      </p>
      {!known && (
        <>
          <Field label="User name" hint="You sign in with it." wrong={wrongAt(wrong, "username")}>
            {(wiring) => <input {...wiring} autoComplete="username" autoCapitalize="none" maxLength={150} {...field("username")} />}
          </Field>
          <Field label="Your name" hint="As the others see you. The user name, if you leave it empty.">
            {(wiring) => <input {...wiring} autoComplete="name" maxLength={150} {...field("name")} />}
          </Field>
          <Field label="Password" hint="Eight characters at least, and not a common one." wrong={wrongAt(wrong, "password")}>
            {(wiring) => <input {...wiring} type="password" autoComplete="new-password" {...field("password")} />}
          </Field>
        </>
      )}
      {join.isError && <ErrorNote error={join.error} safe="The invitation is still good." />}
      <Button type="submit" look="go" disabled={join.isPending}>
        {join.isPending ? "Joining…" : known ? `Join as ${name}` : "Make the account and join"}
      </Button>
      {name !== null && (
        <Button look="quiet" small onClick={() => { setOther(!other); }}>
          {other ? `Join as ${name}` : "Make another account instead"}
        </Button>
      )}
    </Slip>
  );
}
