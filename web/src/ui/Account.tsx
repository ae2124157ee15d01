import { type FormEvent, useState } from "react";
import type { Notation } from "../format/numbers";
import { useClient, useGame, useLoaded, useSetting } from "../hooks";
import { useWords } from "../i18n";
import type { Theme } from "./App";
import { Dialog } from "./Dialog";
import { explain } from "./explain";
import { Loading } from "./Loading";
import css from "./lists.module.css";

export default function Account({ theme, setTheme }: { theme: Theme; setTheme(theme: Theme): void }) {
  const { m } = useWords();
  const { state } = useGame();
  if (state === undefined) return <p className={css.quiet}>{m.loading}</p>;
  return (
    <div className={css.view}>
      <h1>{m.account.title}</h1>
      <section className={css.panel}>
        <p>{state.username === null ? m.account.guest : m.account.named(state.username)}</p>
        <Rename name={state.display_name} />
      </section>
      <Settings theme={theme} setTheme={setTheme} />
      {state.username !== null && <Password />}
      <Sessions player={state.player_id} />
      <Data />
    </div>
  );
}

/** A form that makes one call, and says what became of it. */
function useSubmit(call: (form: FormData) => Promise<void>) {
  const { m } = useWords();
  const [result, setResult] = useState<"none" | "done" | { error: unknown }>("none");
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    try {
      await call(new FormData(form));
      form.reset();
      setResult("done");
    } catch (error) {
      setResult({ error });
    }
  };
  const error = typeof result === "object" ? explain(result.error, m) : undefined;
  return { submit: (event: FormEvent<HTMLFormElement>) => void submit(event), isDone: result === "done", error };
}

function Rename({ name }: { name: string }) {
  const { game } = useClient();
  const { m } = useWords();
  const { submit, isDone, error } = useSubmit((form) => game.rename(String(form.get("name"))));
  return (
    <form className={css.form} onSubmit={submit}>
      <label>
        {m.account.displayName}
        <input name="name" defaultValue={name} key={name} required maxLength={64} />
      </label>
      <div className={css.row}>
        <button type="submit">{m.account.rename}</button>
        <span role="status">{error ?? (isDone ? m.account.renamed : "")}</span>
      </div>
    </form>
  );
}

function Password() {
  const client = useClient();
  const { m } = useWords();
  const { submit, isDone, error } = useSubmit((form) =>
    client.changePassword(String(form.get("current")), String(form.get("next"))),
  );
  return (
    <section className={css.panel}>
      <h2>{m.account.changePassword}</h2>
      <form className={css.form} onSubmit={submit}>
        <label>
          {m.account.currentPassword}
          <input name="current" type="password" autoComplete="current-password" required />
        </label>
        <label>
          {m.account.newPassword}
          <input name="next" type="password" autoComplete="new-password" required minLength={8} maxLength={128} />
          <small>{m.account.passwordHint}</small>
        </label>
        <div className={css.row}>
          <button type="submit">{m.account.changePassword}</button>
          <span role="status">{error ?? (isDone ? m.account.changed : "")}</span>
        </div>
      </form>
    </section>
  );
}

function Settings({ theme, setTheme }: { theme: Theme; setTheme(theme: Theme): void }) {
  const { m, notation, setNotation } = useWords();
  const [keys, setKeys] = useSetting<"on" | "off">("keys", "on");
  return (
    <section className={css.panel}>
      <h2>{m.settings.title}</h2>
      <div className={css.form}>
        <label>
          {m.settings.notation}
          <select value={notation} onChange={(event) => setNotation(event.target.value as Notation)}>
            {(["short", "scientific", "myriads"] as const).map((it) => (
              <option key={it} value={it}>
                {m.settings.notations[it]}
              </option>
            ))}
          </select>
        </label>
        <label>
          {m.settings.theme}
          <select value={theme} data-testid="theme" onChange={(event) => setTheme(event.target.value as Theme)}>
            {(["system", "dark", "light"] as const).map((it) => (
              <option key={it} value={it}>
                {m.settings.themes[it]}
              </option>
            ))}
          </select>
        </label>
        <label>
          {m.settings.keys}
          <select value={keys} onChange={(event) => setKeys(event.target.value === "off" ? "off" : "on")}>
            <option value="on">{m.settings.keysOn}</option>
            <option value="off">{m.settings.keysOff}</option>
          </select>
          <small>{m.settings.keysHelp}</small>
        </label>
      </div>
    </section>
  );
}

function Sessions({ player }: { player: string }) {
  const client = useClient();
  const { m, time } = useWords();
  const [loaded, reload] = useLoaded(`sessions ${player}`, () => client.sessions());
  return (
    <section className={css.panel}>
      <h2>{m.account.sessions}</h2>
      <Loading loaded={loaded} retry={reload}>
        {(list) => (
          <>
            {list.entries.map((it) => (
              <div className={css.row} key={it.id}>
                <span>
                  {browserOf(it.user_agent) ?? m.account.unknownBrowser}{" "}
                  {it.current && <b>({m.account.thisSession})</b>}
                  <br />
                  <small className={css.quiet}>{m.account.lastSeen(time(it.last_refreshed_at))}</small>
                </span>
                {!it.current && (
                  <button type="button" onClick={() => void client.endSession(it.id).finally(reload)}>
                    {m.account.endSession}
                  </button>
                )}
              </div>
            ))}
            {list.entries.length > 1 && (
              <button type="button" onClick={() => void client.endOtherSessions().finally(reload)}>
                {m.account.endOthers}
              </button>
            )}
          </>
        )}
      </Loading>
    </section>
  );
}

/** The name of a browser in a `User-Agent`. */
function browserOf(agent: string | null): string | undefined {
  if (agent === null) return undefined;
  const known = ["Firefox", "Edg", "OPR", "Chrome", "Safari"].find((it) => agent.includes(`${it}/`));
  return known === undefined ? agent.slice(0, 40) : known.replace("Edg", "Edge").replace("OPR", "Opera");
}

function Data() {
  const client = useClient();
  const { m } = useWords();
  const [isAsking, setAsking] = useState(false);
  const [error, setError] = useState<unknown>();
  const download = async () => {
    const blob = new Blob([JSON.stringify(await client.export(), null, 2)], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "idlewatt-export.json";
    link.click();
    URL.revokeObjectURL(link.href);
  };
  const remove = () => {
    setAsking(false);
    void client.deletePlayer().catch(setError);
  };
  return (
    <section className={css.panel}>
      <h2>{m.account.data}</h2>
      <div className={css.row}>
        <button type="button" onClick={() => void download().catch(setError)}>
          {m.account.export}
        </button>
        <button type="button" className={css.danger} onClick={() => setAsking(true)}>
          {m.account.delete}
        </button>
      </div>
      {error !== undefined && (
        <p className={css.error} role="alert">
          {explain(error, m)}
        </p>
      )}
      {isAsking && (
        <Dialog title={m.account.delete} onClose={() => setAsking(false)}>
          <p>{m.account.deleteAsk}</p>
          <div className="actions">
            <button type="button" onClick={() => setAsking(false)}>
              {m.account.cancel}
            </button>
            <button type="button" className={css.danger} onClick={remove}>
              {m.account.deleteConfirm}
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}
