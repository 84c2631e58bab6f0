// Rendered again at most once a second, and kept on the disk in between.
export const revalidate = 1;

export default function Feed() {
  return <p>{`Feed of ${new Date().toISOString()}`}</p>;
}
