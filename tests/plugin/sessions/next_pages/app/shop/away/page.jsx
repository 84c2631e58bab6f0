import Link from "next/link";

export const dynamic = "force-dynamic";

export default function Away() {
  return (
    <main>
      <h1 id="where">{`away ${process.env.APP_VERSION}`}</h1>
      <Link id="back" href="/shop" prefetch={false}>
        Back
      </Link>
    </main>
  );
}
