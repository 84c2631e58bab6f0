// The version is in every name and in every request of a page, so an open page stays on its version.
export default {
  output: "standalone",
  poweredByHeader: false,
  deploymentId: process.env.RELEASE,
  generateBuildId: () => process.env.RELEASE,
};
