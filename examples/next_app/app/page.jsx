import Image from "next/image";

export const dynamic = "force-dynamic";

export default function Page() {
  return (
    <main>
      <h1>{`Shop, ${process.env.RELEASE ?? "development"}`}</h1>
      <Image src="/picture.png" alt="A square" width={64} height={64} />
    </main>
  );
}
