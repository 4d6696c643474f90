# Puts the public keys that may log in now into a user's authorized_keys, and takes out those of ours that may no more: a
# line goes when the SHA-256 of its key is named. Other lines stay as they are. From the files of users that were renamed
# all of ours go. edit_keys.sh follows it.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 077
user='' keys='' drops='' formers='' ours='' complete=''
refuse() {
  echo "$1" >&2
  exit 64
}
while IFS= read -r word; do
  case $word in
    user=*) user=${word#*=} ;;
    drop=*) drops="$drops ${word#*=}" ;;
    former=*) formers="$formers ${word#*=}" ;;
    ours=*) ours="$ours ${word#*=}" ;;
    key=*) keys="$keys${word#*=}
" ;;
    end=1) complete=yes ;;
  esac
done
if [ -z "$complete" ] || [ -z "$user" ]; then
  refuse "the parameters did not arrive complete"
fi
command -v sha256sum >/dev/null && command -v base64 >/dev/null || refuse "the guest has no sha256sum or no base64"
input="$drops
$keys"
former_input=$ours
filter='
set -f
IFS= read -r drops || :
keys="" there=""
while IFS= read -r word; do
  [ -z "$word" ] || keys="$keys$word
"
done
adds_nothing() { [ -z "$keys" ]; }
blob_of() {
  set -- $1
  case ${1-} in ssh-* | ecdsa-*) blob=${2-} ;; *) blob="" ;; esac
}
stays() {
  blob_of "$1"
  [ -n "$blob" ] || return 0
  sum=$(printf "%s" "$blob" | base64 -d 2>/dev/null | sha256sum)
  case "$drops " in *" ${sum%% *} "*) return 1 ;; esac
  there="$there $blob"
}
added() {
  printf "%s" "$keys" | while IFS= read -r word; do
    blob_of "$word"
    case "$there " in *" $blob "*) ;; *) printf "%s\n" "$word" ;; esac
  done
}
'
