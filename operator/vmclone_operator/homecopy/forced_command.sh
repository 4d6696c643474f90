PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C;
export PATH LC_ALL;
no() { echo "vmclone: $1" >&2; exit 65; };
set -f;
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
  *[!vlHptRSudbz]*) no "refused options";;
esac;
first=$1;
for word in "$@"; do
  case $word in
    "$first"|.) ;;
    *..*) no "refused path";;
    --info=STATS2|--compress-level=-1|--stats|--from0|--backup|--update) ;;
    --timeout=*|--bwlimit=*) case ${word#*=} in *[!0-9]*) no "refused number";; esac;;
    --partial-dir|--partial-dir=.vmclone-partial|.vmclone-partial) ;;
    --backup-dir|--backup-dir=.vmclone-backup/*|.vmclone-backup/*) ;;
    *) no "refused word";;
  esac;
done;
version=$(rsync --version 2>/dev/null);
case $version in
  "rsync  version 3."[2-9]*|"rsync  version 3.1"[0-9]*|"rsync  version "[4-9]*) ;;
  *) no "the clone needs rsync 3.2 or newer";;
esac;
cd || no "no home";
exec rsync --server "$@"
