# Reads the parameters, starts the worker in a unit of its own and returns at once. Safe to repeat: a token
# that runs or is done is left alone; a worker that died starts again from the beginning.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 077
run=/run/vmclone/identity
lib=/var/lib/vmclone/identity

refuse() {
  echo "$1" >&2
  exit 64
}

# `read` takes a byte at a time, so it gets only the short lines: the packed ones are 90 KB.
parameters=$(cat)
asked=$(printf '%s\n' "$parameters" | grep -v '^scrub_\(program\|rules\|places\|posix\)=')
token='' complete='' scrub=''
while IFS= read -r line; do
  case $line in
    token=*) token=${line#*=} ;;
    scrub=*) scrub=${line#*=} ;;
    end=1) complete=yes ;;
  esac
done <<END_OF_ASKED
$asked
END_OF_ASKED
if [ -z "$complete" ] || [ -z "$token" ]; then
  refuse "the parameters did not arrive complete"
fi
[ -d /run/systemd/system ] || refuse "this guest does not run systemd"

if [ -r "$lib/result" ]; then
  recorded='' state='' scrubbed=''
  while IFS= read -r line; do
    case $line in
      identity_token=*) recorded=${line#*=} ;;
      identity_state=*) state=${line#*=} ;;
      scrub_request=*) scrubbed=${line#*=} ;;
    esac
  done <"$lib/result"
  [ "$recorded/$state/$scrubbed" != "$token/done/${scrub:-$scrubbed}" ] || exit 0
fi
if [ -d /sys/fs/cgroup/system.slice/vmclone-identity.service ] ||
  [ -d /sys/fs/cgroup/systemd/system.slice/vmclone-identity.service ]; then
  running=
  [ ! -r "$run/token" ] || IFS= read -r running <"$run/token" || :
  [ "$running" != "$token" ] || exit 0
  # Another attempt's worker: this one supersedes it.
  systemctl stop vmclone-identity.service </dev/null >/dev/null 2>&1
fi

mkdir -p "$run" "$lib"
rm -f "$lib/result" "$run/scrub_posix"
printf '%s\n' "$parameters" >"$run/parameters"
printf '%s\n' "$asked" >"$run/asked"
printf '%s\n' "$token" >"$run/token"
write_worker
[ -z "$scrub" ] || write_scrub_posix
[ -s "$run/worker" ] || refuse "this guest has no base64 or no gzip"
exec systemd-run --quiet --collect --unit=vmclone-identity --description="Give this clone its own identity" \
  /bin/sh "$run/worker" </dev/null
