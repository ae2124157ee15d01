import { type FormEvent, useState } from "react";
import { Problem } from "../client";
import { useClient } from "../hooks";
import { useWords } from "../i18n";
import { Dialog } from "./Dialog";
import { explain } from "./explain";
import css from "./lists.module.css";

/** Taking a name for the present guest, or signing in with one. */
export default function SignIn({ onClose }: { onClose(): void }) {
  const client = useClient();
  const { m } = useWords();
  const [mode, setMode] = useState<"register" | "sign-in">("register");
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const username = String(form.get("username")).trim();
    const password = String(form.get("password"));
    setBusy(true);
    setError(undefined);
    try {
      if (mode === "register") await client.register({ username, password });
      else await client.signIn(username, password);
      onClose();
    } catch (cause) {
      setError(cause);
    } finally {
      setBusy(false);
    }
  };
  const fault = (field: string) => (error instanceof Problem ? error.fieldMessage(field) : undefined);
  const hasFieldFault = fault("username") !== undefined || fault("password") !== undefined;
  return (
    <Dialog title={mode === "register" ? m.account.register : m.account.signIn} onClose={onClose}>
      {mode === "register" && <p>{m.account.guestHint}</p>}
      <form className={css.form} onSubmit={(event) => void submit(event)}>
        <label>
          {m.account.username}
          <input
            name="username"
            data-testid="register-username"
            autoComplete="username"
            required
            minLength={3}
            maxLength={24}
            pattern="[A-Za-z0-9_]+"
            autoCapitalize="none"
            spellCheck={false}
          />
          <small>{fault("username") ?? m.account.usernameHint}</small>
        </label>
        <label>
          {m.account.password}
          <input
            name="password"
            type="password"
            data-testid="register-password"
            autoComplete={mode === "register" ? "new-password" : "current-password"}
            required
            minLength={8}
            maxLength={128}
          />
          <small>{fault("password") ?? (mode === "register" ? m.account.passwordHint : "")}</small>
        </label>
        {error !== undefined && !hasFieldFault && (
          <p className={css.error} role="alert">
            {explain(error, m)}
          </p>
        )}
        <div className="actions">
          <button
            type="button"
            onClick={() => {
              setMode(mode === "register" ? "sign-in" : "register");
              setError(undefined);
            }}
          >
            {mode === "register" ? m.account.haveAccount : m.account.needAccount}
          </button>
          <button type="submit" className="primary" data-testid="register-submit" aria-disabled={isBusy}>
            {mode === "register" ? m.account.register : m.account.signIn}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
