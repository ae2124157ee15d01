import { type ReactNode, useEffect, useId, useLayoutEffect, useRef } from "react";
import css from "./dialog.module.css";

interface Props {
  title: string;
  onClose(): void;
  /** What stays in view beside and below the title of a long dialog. */
  head?: ReactNode;
  children: ReactNode;
}

/** A modal dialog. It closes by Escape, and when its backdrop is clicked. */
export function Dialog({ title, onClose, head, children }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => element.current?.showModal(), []);
  // While it is still in the document, so that the focus returns to where it was.
  useLayoutEffect(() => {
    const dialog = element.current;
    return () => dialog?.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog
    <dialog
      ref={element}
      className={css.dialog}
      aria-labelledby={heading}
      onClose={() => element.current?.open !== true && onClose()}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <div className={css.body}>
        <div className={head === undefined ? undefined : css.head}>
          <h2 id={heading}>{title}</h2>
          {head}
        </div>
        {children}
      </div>
    </dialog>
  );
}
