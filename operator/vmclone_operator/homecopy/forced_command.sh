PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C;
export PATH LC_ALL;
no() { echo "vmclone: $1" >&2; exit 65; };
set -f;
home=$(getent passwd "$(id -u)" | cut -d: -f6);
cd "${home:-$HOME}" || no "no home";
clean="env -i PATH=$PATH LC_ALL=C HOME=/nonexistent";
if [ "$SSH_ORIGINAL_COMMAND" = vmclone-check ]; then
  command -v python3 >/dev/null || exit 90;
  exec $clean python3 -I -c "import sys, hashlib;
    b = sys.stdin.buffer; p = b.read(int(b.readline()));
    hashlib.sha256(p).hexdigest() == sys.argv[1] or sys.exit(65); exec(p)" @digest@;
fi;
case $SSH_ORIGINAL_COMMAND in
  *[!A-Za-z0-9\ ./=-]*) no "refused letters";;
  "rsync --server "*) ;;
  *) no "this key may only receive a home copy";;
esac;
set -- $SSH_ORIGINAL_COMMAND;
shift 2;
case $1 in
  -*[!A-Za-z.]*) no "refused options";;
  -*e.*) ;;
  *) no "refused options";;
esac;
letters=${1%%e.*};
case ${letters#-} in
  *[!vlHptRSudbzI]*) no "refused options";;
esac;
first=$1;
log=;
for word in "$@"; do
  case $word in
    "$first"|.) ;;
    *..*) no "refused path";;
    --backup) log="--log-file=.vmclone-copy/written --log-file-format=%n";;
    --backup-dir|--backup-dir=.vmclone-backup/*|.vmclone-backup/*) ;;
    --info=STATS2|--compress-level=-1|--stats|--from0|--update|--no-implied-dirs) ;;
    --timeout=*|--bwlimit=*) case ${word#*=} in *[!0-9]*) no "refused number";; esac;;
    --partial-dir|--partial-dir=.vmclone-partial|.vmclone-partial) ;;
    *) no "refused word";;
  esac;
done;
version=$(rsync --version 2>/dev/null);
case $version in
  "rsync  version 3."[2-9]*|"rsync  version 3.1"[0-9]*|"rsync  version "[4-9]*) ;;
  *) no "the clone needs rsync 3.2 or newer";;
esac;
printf "\n@vmclone-rsync\n";
exec $clean rsync --server $log "$@"
