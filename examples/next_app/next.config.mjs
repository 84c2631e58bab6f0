/** A server in one folder, as public guides build it for a container. */
export default { output: "standalone", poweredByHeader: false };
