import { lazy, Suspense, useEffect, useState } from "react";
import { useClient, useGame, usePlayerId, useSetting, useTicker } from "../hooks";
import { type Language, useWords } from "../i18n";
import css from "./app.module.css";
import { Bell } from "./Bell";
import { LampMark } from "./LampMark";
import { AwayNote, ConnectionNote, Messages } from "./Notes";
import { go, pathOf, useView, VIEWS, type View } from "./views";
import { Workshop } from "./Workshop";

const News = lazy(() => import("./News"));
const Rankings = lazy(() => import("./Rankings"));
const Journal = lazy(() => import("./Journal"));
const Account = lazy(() => import("./Account"));
const SignIn = lazy(() => import("./SignIn"));
const SignOut = lazy(() => import("./SignOut"));

export type Theme = "system" | "dark" | "light";

export function App() {
  const { game } = useClient();
  const { m, number } = useWords();
  const view = useView();
  const player = usePlayerId();
  const [dialog, setDialog] = useState<"register" | "sign-out" | "news" | undefined>();
  const [theme, setTheme] = useSetting<Theme>("theme", "system");
  useEffect(() => {
    document.documentElement.style.colorScheme = theme === "system" ? "" : theme;
  }, [theme]);
  useTicker(() => {
    const first = view === "play" && game.snapshot.state !== undefined ? number(game.energy()) : m.nav[view];
    const title = `${first} · ${m.appTitle}`;
    if (document.title !== title) document.title = title;
  }, 1000);
  const closeDialog = () => setDialog(undefined);
  return (
    <div className={css.page}>
      <Header
        onNews={() => setDialog("news")}
        onRegister={() => setDialog("register")}
        onSignOut={() => setDialog("sign-out")}
        view={view}
      />
      <ConnectionNote />
      <main className={css.main} key={player ?? "nobody"}>
        <Suspense fallback={<p className={css.loading}>{m.loading}</p>}>
          {view === "play" && <Workshop />}
          {view === "rankings" && <Rankings />}
          {view === "journal" && <Journal />}
          {view === "account" && <Account theme={theme} setTheme={setTheme} />}
        </Suspense>
      </main>
      <AwayNote />
      <Messages />
      <Suspense>
        {dialog === "news" && <News onClose={closeDialog} />}
        {dialog === "register" && <SignIn onClose={closeDialog} />}
        {dialog === "sign-out" && <SignOut onClose={closeDialog} onRegister={() => setDialog("register")} />}
      </Suspense>
    </div>
  );
}

interface HeaderProps {
  view: View;
  onNews(): void;
  onRegister(): void;
  onSignOut(): void;
}

function Header({ view, onNews, onRegister, onSignOut }: HeaderProps) {
  const client = useClient();
  const { m, language, setLanguage } = useWords();
  const { state, connection, pendingClicks, pendingPurchases } = useGame();
  const isSaving = pendingClicks > 0 || pendingPurchases.length > 0;
  const isNamed = state?.username !== null && state !== undefined;
  useEffect(() => client.notifications.setLanguage(language), [client, language]);
  const [chosen, setChosen] = useState<Language | undefined>();
  const isReady = state !== undefined && connection === "online";
  // Texts of the server follow the choice, on this and on other devices. The page works without that, so a failure is
  // not shown; it tries again when the connection is back.
  useEffect(() => {
    if (chosen === undefined || !isReady) return;
    client.game.chooseLanguage(chosen).then(
      () => {
        setChosen((it) => (it === chosen ? undefined : it));
        client.notifications.reload();
      },
      () => undefined,
    );
  }, [chosen, isReady, client]);
  const choose = (language: Language) => {
    setLanguage(language);
    setChosen(language);
  };
  const signOut = () => {
    // A named player can come back, so nothing is asked.
    if (isNamed) void client.signOut().catch(() => client.game.lost());
    else onSignOut();
  };
  return (
    <header className={css.header}>
      <a className={css.brand} href="/" onClick={open("play")}>
        <LampMark />
        {m.appTitle}
      </a>
      <nav className={css.nav} aria-label={m.appTitle}>
        {VIEWS.map((it) => (
          <a
            key={it}
            href={pathOf(it)}
            aria-current={view === it ? "page" : undefined}
            data-testid={it === "rankings" ? "ranking" : `view-${it}`}
            onClick={open(it)}
          >
            {m.nav[it]}
          </a>
        ))}
      </nav>
      <div className={css.tools}>
        <span className={css.connection} data-testid="connection" data-state={connection} role="status">
          <i aria-hidden="true" />
          {m.connection[connection]}
          <small aria-hidden="true">{connection === "online" && (isSaving ? m.saving : m.saved)}</small>
        </span>
        <select
          aria-label={m.settings.language}
          data-testid="language"
          value={language}
          onChange={(event) => choose(event.target.value === "ko" ? "ko" : "en")}
        >
          <option value="en">English</option>
          <option value="ko">한국어</option>
        </select>
        <Bell onOpen={onNews} />
        {state !== undefined && !isNamed && (
          <button type="button" data-testid="register-open" onClick={onRegister}>
            {m.account.register}
          </button>
        )}
        {isNamed && (
          <bdi className={css.player} title={m.account.named(state.username ?? "")}>
            {state.display_name}
          </bdi>
        )}
        <button type="button" data-testid="sign-out" onClick={signOut}>
          {m.account.signOut}
        </button>
      </div>
    </header>
  );
}

/** A click on a link within the page; with a modifier the browser opens it in another tab. */
function open(view: View) {
  return (event: React.MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go(view);
  };
}
