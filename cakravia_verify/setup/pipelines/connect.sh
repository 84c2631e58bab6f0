umask 077
mkdir -p "$TOOLS"
printf '%s\n' "$SITE_SSH_KEY" >"$TOOLS/key"
printf '%s\n' "$SITE_KNOWN_HOSTS" >"$TOOLS/known_hosts"
cat >"$TOOLS/config" <<END
IdentityFile $TOOLS/key
IdentitiesOnly yes
BatchMode yes
StrictHostKeyChecking yes
UserKnownHostsFile $TOOLS/known_hosts
GlobalKnownHostsFile /dev/null
ConnectTimeout 20
ServerAliveInterval 15
END
cat >"$TOOLS/on-site" <<'END'
#!/usr/bin/env bash
# on-site COMMAND...: run it in the folder of the site. ATTACHED=1: it is interrupted when this end is gone.
tools="$(dirname "$0")"
quoted() { for each in "$@"; do printf " '%s'" "${each//"'"/"'\''"}"; done; }
for name in GITHUB_ACTIONS GITHUB_SERVER_URL GITHUB_REPOSITORY GITHUB_RUN_ID RUNNER_NAME CI_JOB_URL CI_RUNNER_DESCRIPTION; do
    [ -z "${!name:-}" ] || set -- "$name=${!name}" "$@"
done
exec ssh -F "$tools/config" ${ATTACHED:+-tt} "$SITE" \
    "${ATTACHED:+stty -opost; }PATH=\"\$HOME/.local/bin:\$PATH\"; export PATH; cd$(quoted "$SITE_FOLDER") && exec env$(quoted "$@")"
END
chmod 700 "$TOOLS/on-site"
PATH="$TOOLS:$PATH"
export GIT_SSH_COMMAND="ssh -F $TOOLS/config"
on-site sh -c 'rm -f .git/cakravia-summary.md && touch .git/cakravia-began && cakravia --version'
