import { type SubmitEvent, useState } from "react";
import { messageOf } from "../api/client";
import { useInvitations, useInvite, useRevoke } from "../api/members";
import type { Invitation, Role } from "../api/shapes";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { CopyLine } from "../look/CopyLine";
import { Field } from "../look/Field";
import { ErrorNote, Quiet } from "../look/states";
import { Table } from "../look/Table";
import { Time } from "../look/Time";
import { useToasts } from "../look/toasts";
import styles from "./People.module.css";
import { ROLE_NAMES, ROLES } from "./words";

function linkOf(invitation: Invitation): string {
  return `${window.location.origin}/join/${invitation.token ?? ""}`;
}

/** Links that let one person in, once. */
export function Invitations({ slug }: { slug: string }) {
  const invite = useInvite(slug);
  const revoke = useRevoke(slug);
  const invitations = useInvitations(slug);
  const { say } = useToasts();
  const [role, setRole] = useState<Role>("annotator");
  const [meantFor, setMeantFor] = useState("");
  const [days, setDays] = useState(7);
  const rows = invitations.data?.pages.flatMap((page) => page.results) ?? [];
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    invite.mutate({ role, meant_for: meantFor.trim(), days }, { onSuccess: () => { setMeantFor(""); } });
  };
  return (
    <Card title="Invite someone">
      <form className={styles["invite"]} onSubmit={submit}>
        <Field label="As">
          {(wiring) => (
            <select {...wiring} value={role} onChange={(event) => { setRole(event.target.value as Role); }}>
              {ROLE_NAMES.map((each) => (
                <option key={each} value={each}>
                  {ROLES[each].name}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="For whom (only for you)">
          {(wiring) => <input {...wiring} maxLength={150} value={meantFor} onChange={(event) => { setMeantFor(event.target.value); }} />}
        </Field>
        <Field label="Good for">
          {(wiring) => (
            <select {...wiring} value={days} onChange={(event) => { setDays(Number(event.target.value)); }}>
              {[1, 7, 30, 90].map((each) => (
                <option key={each} value={each}>
                  {each === 1 ? "1 day" : `${String(each)} days`}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Button type="submit" look="go" disabled={invite.isPending}>
          Make a link
        </Button>
      </form>
      {invite.isError && <ErrorNote error={invite.error} />}
      {invite.data && (
        <div className={styles["made"]}>
          <p>
            Whoever opens this link first joins as {ROLES[invite.data.role].name.toLowerCase()}. Send it to one person only.
          </p>
          <CopyLine label="Invitation link" text={linkOf(invite.data)} />
        </div>
      )}
      {rows.length > 0 && (
        <Table
          caption="Invitations, newest first"
          bare
          rows={rows}
          id={(row) => row.id}
          columns={[
            {
              name: "Invitation",
              show: (row) => (
                <div className={styles["who"]}>
                  <span>
                    {ROLES[row.role].name}
                    {row.meant_for !== "" && <Quiet> · {row.meant_for}</Quiet>}
                  </span>
                  <Standing invitation={row} />
                </div>
              ),
            },
            {
              name: "",
              number: true,
              show: (row) =>
                row.token !== null && new Date(row.expires_at) > new Date() ? (
                  <Button
                    small
                    look="quiet"
                    aria-label={`Take the invitation back: ${row.meant_for || ROLES[row.role].name}`}
                    onClick={() => { revoke.mutate(row.id, { onSuccess: () => { say("The link opens nothing any more."); }, onError: (error) => { say(messageOf(error)); } }); }}
                  >
                    Take back
                  </Button>
                ) : null,
            },
          ]}
        />
      )}
      {invitations.hasNextPage && (
        <Button look="quiet" small onClick={() => void invitations.fetchNextPage()}>
          Older invitations
        </Button>
      )}
    </Card>
  );
}

function Standing({ invitation }: { invitation: Invitation }) {
  const { accepted_at: accepted, accepted_by: by, revoked_at: revoked, expires_at: expires } = invitation;
  if (accepted !== null) {
    return (
      <Quiet>
        {by ?? "Someone"} joined <Time at={accepted} />
      </Quiet>
    );
  }
  if (revoked !== null) return <Quiet>taken back</Quiet>;
  if (new Date(expires) <= new Date()) return <Quiet>expired</Quiet>;
  return (
    <Quiet>
      good until <Time at={expires} />
    </Quiet>
  );
}
