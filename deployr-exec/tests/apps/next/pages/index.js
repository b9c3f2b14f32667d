export function getServerSideProps() {
  return { props: { version: 'version-1', name: process.env.APP_NAME ?? '' } }
}

export default function Home({ version, name }) {
  return <p>{`${version} of ${name}`}</p>
}
