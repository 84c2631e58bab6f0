import Link from "next/link";

import { order } from "./actions";
import Parts from "./parts";

export const dynamic = "force-dynamic";

export default function Shop() {
  return (
    <main>
      <h1 id="version">{process.env.APP_VERSION}</h1>
      <Link id="away" href="/shop/away" prefetch={false}>
        Away
      </Link>
      <Parts />
      <Order act={order} />
    </main>
  );
}

function Order({ act }) {
  return (
    <form action={act}>
      <input name="item" defaultValue="tea" />
      <button id="order">Order</button>
    </form>
  );
}
