# The scrub for a guest without python3: the same rules, followed with GNU find, grep and awk. Reads the program's
# parameters and answers in its form. Calls itself from find, so that no name has to survive in a list. Doubtful names
# go unless they show something public and nothing private: git is not asked here.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 077
root=${VMCLONE_ROOT:-}
self=$0
work=$VMCLONE_WORK
named='(pass|pwd|secret|token|cred|api[-_]?key)[A-Za-z0-9_.-]{0,40}["'\'']? {0,40}[:=] {0,40}[^ ]|---- ?begin'
signs='([]"'\''|>{}[,;&()+ -]|\\[nrt])*'
without_value="^$signs([A-Za-z0-9_][A-Za-z0-9_.-]*[\"' ]*[:=]$signs)*\$"
der='^30 8[123]( ..){1,3} 30 8[123]( ..){1,3} a0 03 02 01 0[012]'

# --- what find calls ---------------------------------------------------------------------------------------
# Goes to the folder that a file lies in, and says in $name what it is called there: part by part, so that a link that
# took the place of a part leads nowhere. Never in the shell that goes on: that one stays where it is.
enter() {
  rest=$1
  case $rest in /*) cd / && rest=${rest#/} ;; esac
  while :; do
    case $rest in
      */*) part=${rest%%/*} rest=${rest#*/} ;;
      *) name=./$rest && return 0 ;;
    esac
    case $part in '' | .) continue ;; esac
    cd -P "./$part" 2>/dev/null || return 1
    if [ -L "../$part" ] || [ ! "../$part" -ef . ]; then return 1; fi
  done
}

# With names in the current folder, as -execdir gives them.
overwrite() {
  for name; do
    blank "$name" || { chattr -i -a . "$name" 2>/dev/null && blank "$name"; } || {
      [ -L "$name" ] || [ ! -e "$name" ] || printf '%s\n' "${name#./} cannot be overwritten" >>"$work/failed"
    }
  done
}

blank() {
  size=$(stat -c %s -- "$1") || return
  dd if=/dev/zero of="$1" bs=4096 count=$(((size + 4095) / 4096)) conv=notrunc,fsync oflag=nofollow 2>/dev/null
}

empty() {
  overwrite "$@"
  for name; do dd if=/dev/null of="$name" count=0 oflag=nofollow 2>/dev/null; done
}

erase() {
  for path; do
    if [ -n "$VMCLONE_LOOK" ]; then
      echo left >>"$work/left"
    else
      (enter "$path" && [ -f "$name" ] && [ ! -L "$name" ] && keep_inode && overwrite "$name" && echo gone >>"$work/gone")
      (enter "$path" && { [ ! -d "$name" ] || [ -L "$name" ]; } && rm -f -- "$name")
    fi
  done
}

keep_inode() {
  find "$name" -prune -links +1 -printf 'linked %i\n' >>"$work/gone"
}

# The file that a link in a place leads to, unless it is the system's.
erase_targets() {
  for path; do
    target=$(readlink -f -- "$path") || continue
    case $target in "$root"/*) ;; *) continue ;; esac
    case ${target#"$root"} in
      /usr/* | /bin/* | /sbin/* | /lib* | /boot/* | /dev/* | /proc/* | /sys/*) ;;
      *) [ ! -f "$target" ] || erase "$target" ;;
    esac
  done
}

# Other names of a file that was overwritten: what is there holds nothing but zeros.
erase_blank() {
  for path; do
    (enter "$path" && [ -s "$name" ] && cmp -s -n "$(stat -c %s -- "$name")" -- "$name" /dev/zero && rm -f -- "$name")
  done
}

# A whole batch is searched at once; names of several lines, and paths too long to be opened, are asked one by one.
by_content() {
  grep -lzaE -f "$work/shapes" -- "$@" 2>/dev/null | while IFS= read -r file; do
    ! has_shape "$file" || erase "$file"
  done
  wide "$@" | while IFS= read -r file; do
    ! has_shape "$file" || erase "$file"
  done
  for file; do
    case ${#file}$VMCLONE_SEVERAL_LINES in
      [1-9] | [1-9][0-9] | [1-9][0-9][0-9] | [1-3][0-9][0-9][0-9]) ;;
      *) ! has_shape "$file" || erase "$file" ;;
    esac
  done
}

# What may be a text of 16 bits a letter: it has a mark, or something that is no letter after each letter.
wide() {
  mark=$(printf '\377\376|\376\377')
  grep -laE -e "^($mark)|([[:print:]][^[:print:][:space:]]){8}" -- "$@" 2>/dev/null
}

# Whether it is one: zeros are in every other place, letters in the others.
is_wide() {
  case $(head -c 2 -- "$1" | od -An -tx1) in ' ff fe' | ' fe ff') return 0 ;; esac
  head -c 8192 -- "$1" | od -An -v -tu1 | awk '
    { for (at = 1; at <= NF; at++) {
        one = at % 2; all[one]++
        if ($at == 0) zeros[one]++
        if (!($at >= 32 && $at < 127 || $at >= 9 && $at <= 13 && $at != 11 || $at == 27)) others[one]++ } }
    function zero(one) { return 10 * zeros[one] > 7 * all[one] && 10 * others[1 - one] < 2 * all[1 - one] }
    END { exit all[0] >= 8 && (zero(0) || zero(1)) ? 0 : 1 }'
}

# Zeros alone do not make a file one that is no text.
is_binary() {
  zeros=$(head -c 8192 -- "$1" | tr -cd '\000' | wc -c)
  [ "$zeros" -gt 0 ] || return 1
  ! is_wide "$1" || return 1
  letters=$(head -c 8192 -- "$1" | tr -d '\000' | wc -c)
  others=$(head -c 8192 -- "$1" | tr -d '\000\t\n\014\r\033\040-\176' | wc -c)
  [ "$letters" = 0 ] || [ $((10 * others)) -gt $((3 * letters)) ]
}

# A NUL ends what grep takes for a line; with 16 bits there is one in each letter.
has_shape() (
  enter "$1" && [ -f "$name" ] && [ ! -L "$name" ] && ! is_binary "$name" || exit 1
  if is_wide "$name"; then tr -d '\000' <"$name"; else dd if="$name" bs=65536 iflag=nofollow,nonblock 2>/dev/null; fi | grep -zaoE -f "$work/shapes" | grep -qzavE -f "$work/harmless"
)

doubtful() {
  for file; do
    (
      enter "$file" && [ -f "$name" ] && [ ! -L "$name" ] && ! shows_public "$name"
    ) && erase "$file"
  done
}

# As armour.py says it: a certificate clears itself alone.
shows_public() {
  [ "$(stat -c %s -- "$1")" -le "$VMCLONE_LIMIT" ] || return 1
  if [ -n "$VMCLONE_ARMOURED" ] && is_certificate "$1"; then return 0; fi
  outside "$1" >"$work/outside.$$" || return 1
  if [ -n "$VMCLONE_ARMOURED" ]; then
    ! grep -qaiE -e "$named" -- "$work/outside.$$"
  else
    ! grep -qavE -e "$without_value" -- "$work/outside.$$"
  fi && ! has_shape "$1"
}

# One certificate in DER, whose first bytes say how long it is.
is_certificate() {
  size=$(stat -c %s -- "$1")
  head -c 24 -- "$1" | od -An -v -tx1 | tr -d '\n' | sed 's/^ //' | grep -qE -e "$der" || return 1
  head -c 5 -- "$1" | od -An -v -tu1 | {
    read -r _ digits one two three
    case $digits in 129) ;; 130) one=$((one * 256 + two)) ;; *) one=$(((one * 256 + two) * 256 + three)) ;; esac
    [ "$size" -le $((digits - 126 + one)) ]
  }
}

# Prints what stands outside of armour; fails when there is none, when it is private, or does not end.
outside() {
  tr '\000\r\t' '\n  ' <"$1" | VMCLONE_PUBLIC=$(sed -n 's/^public=//p' "$work/rules") awk '
    BEGIN { count = split(ENVIRON["VMCLONE_PUBLIC"], words, "|"); for (; count; count--) public[words[count]] = 1 }
    {
      line = $0
      for (;;) {
        if (label != "") {
          at = index(line, "END " label)
          if (!at) next
          line = substr(line, at + 4 + length(label)); label = ""
        }
        if (!match(line, /-----? ?BEGIN [A-Z0-9 ]+-----?/)) break
        printf "%s", substr(line, 1, RSTART - 1)
        label = substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH)
        gsub(/^-+ ?BEGIN +| *-+$/, "", label); seen = 1
        if (!(label in public)) { bad = 1; exit }
        if (label == "PGP SIGNED MESSAGE") label = ""
      }
      print line
    }
    END { exit bad || label != "" || !seen ? 1 : 0 }'
}

containing() {
  for file; do
    (enter "$file" && [ -f "$name" ] && [ ! -L "$name" ] && grep -qaE -e "$VMCLONE_EXPRESSION" -- "$name") && erase "$file"
  done
}

# Letters of a secret become 0 where they stand; the file keeps its size and all else. As masks.py says it.
masked() {
  for file; do (enter "$file" && [ -f "$name" ] && [ ! -L "$name" ] && mask_here); done
}

mask_here() {
  size=$(stat -c %s -- "$name")
  [ "$size" -le 67108864 ] || return 0
  awk "$awk_mask" <"$name" | head -c "$size" >"$work/masked.$$"
  cmp -s -- "$work/masked.$$" "$name" || {
    if [ -n "$VMCLONE_LOOK" ]; then
      echo left >>"$work/left"
    else
      dd if="$work/masked.$$" of="$name" bs=65536 conv=notrunc,fsync oflag=nofollow 2>/dev/null
    fi
  }
  rm -f "$work/masked.$$"
}

awk_mask='
BEGIN {
  before = ENVIRON["VMCLONE_EXPRESSION"]; kind = ENVIRON["VMCLONE_VALUE"]; once = substr(before, 1, 1) == "^"
  value = "^[^@ \t\"\047/]+@"
  if (kind == "line") value = "^.+"
  if (kind == "word") value = "^(\"([^\"\\\\]|\\\\.)*\"|\047[^\047]*\047|[^ \t\"\047,;})[{|>][^ \t\"\047,;})]*)"
}
{
  rest = $0; out = ""
  while (match(rest, before)) {
    out = out substr(rest, 1, RSTART + RLENGTH - 1); rest = substr(rest, RSTART + RLENGTH)
    if (match(rest, value)) {
      found = substr(rest, 1, RLENGTH); rest = substr(rest, RLENGTH + 1)
      if (found !~ /^["\047]?(\$.*|true|false|null|none|yes|no|0*)["\047]?\r?$/) gsub(/[^ \t\r"\047@]/, "0", found)
      out = out found
    }
    if (once || rest == "") break
  }
  print out rest
}'

case $1 in
  overwrite | empty | erase | erase_targets | erase_blank | by_content | doubtful | containing | masked)
    "$@"
    exit
    ;;
esac

# --- parameters ------------------------------------------------------------------------------------------
work=$(mktemp -d "${TMPDIR:-/run}/vmclone-scrub.XXXXXX") || exit 1
VMCLONE_WORK=$work VMCLONE_LOOK='' VMCLONE_SEVERAL_LINES='' VMCLONE_ARMOURED='' VMCLONE_EXPRESSION='' VMCLONE_VALUE='' VMCLONE_LIMIT=1048576
export VMCLONE_WORK VMCLONE_LOOK VMCLONE_SEVERAL_LINES VMCLONE_ARMOURED VMCLONE_EXPRESSION VMCLONE_VALUE VMCLONE_LIMIT
trap 'rm -rf "$work"' EXIT
trap 'exit 1' TERM INT HUP
nl='
'
for file in homes homes.inner unverified foreign left_alone gone left failed rules places owners allow shapes harmless; do
  : >"$work/$file"
done

unpack() {
  printf '%s\n' "${line#*=}" | base64 -d | gzip -dc
}

own_disks=''
while IFS= read -r line; do
  case $line in
    own_disk=*) own_disks="$own_disks ${line#*=} " ;;
    scrub_posix=*) unpack >"$work/rules" ;;
    scrub_places=*) unpack >"$work/places" ;;
    scrub_path=*) printf '%s\n' "${line#*=}" >>"$work/owners" ;;
    scrub_allow=*) printf '%s\n' "${line#*=}" >>"$work/allow" ;;
  esac
done
{ echo '#any' && cat "$work/owners"; } >>"$work/places"

# One expression of each kind, for paths as find gives them.
rule() {
  sed -n "s/^$1=//p" "$work/rules" | paste -sd '|' -
}

sed -n 's/^shape=//p' "$work/rules" >"$work/shapes"
{ echo '^$' && sed -n 's/^harmless=//p' "$work/rules"; } >"$work/harmless"
never=$(rule never) never_folder=$(rule folder) except=$(rule except) doubtful_names=$(rule doubtful)
git_store=$(rule git) package_tree=$(rule package) package_code=$(rule code) describing=$(rule describing)
armoured=$(rule armoured)

# The owner's patterns as expressions.
as_expression='s/[].+(){}|^$\\[]/\\&/g; s/\\\[!/[^/g; s/\\\[/[/g; s/\\\]/]/g; s/\*\*/\x01/g; s/\*/[^\/]*/g; s/?/[^\/]/g; s/\x01/.*/g'
allow=$(sed -e 's,/$,,; s,/\*\*\*$,,' -e "$as_expression" -e '\,^/,!s,^,[.]/(.*/)?,' -e 's,^/,[.]/,' "$work/allow" | paste -sd '|' -)
allow=${allow:-nothing}

# Each engine must do what the other does: tools that cannot are no scrub.
proves_itself() {
  printf 'a\0b\nsecret-1\0' >"$work/proof"
  [ "$(grep -czaE -e 'b[[:space:]]secret-[0-9]{1}$' "$work/proof")" = 1 ] &&
    [ "$(find "$work" -maxdepth 1 -regextype posix-extended -iregex '.*/(PROOF|x{2})' -newerct @1 -printf x)" = x ] &&
    [ "$(echo 'a b=cd' | VMCLONE_EXPRESSION='b=' VMCLONE_VALUE=word awk "$awk_mask")" = 'a b=00' ] &&
    dd if=/dev/zero of="$work/proof" bs=1 count=1 conv=notrunc,fsync oflag=nofollow 2>/dev/null
}

# --- whose disks -------------------------------------------------------------------------------------------
# The host names its disks by the PCI slots that lead to each; what lies on no such disk is left alone. Without names
# nothing is. Subshells keep the variables of what a device is made of apart.
is_own() (
  disk=$(readlink -f "/sys/dev/block/$1")
  [ -d "$disk" ] || exit 1
  [ ! -e "$disk/partition" ] || disk=${disk%/*}
  some=''
  for part in "$disk"/slaves/*/dev; do
    [ -r "$part" ] || continue
    IFS= read -r number <"$part"
    is_own "$number" || exit 1
    some=yes
  done
  [ -z "$some" ] || exit 0
  case $disk in
    */zram[0-9]* | */ram[0-9]*) exit 0 ;;
    */session[0-9]* | */rport-* | */nvme-fabrics/* | */devices/virtual/*) exit 1 ;;
  esac
  way='' rest=$disk/
  while [ -n "$rest" ]; do
    part=${rest%%/*} rest=${rest#*/}
    case $part in
      [0-9a-f][0-9a-f][0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f].[0-7]) way=$way${way:+/}${part##*:} ;;
    esac
  done
  case "$own_disks" in *" $way "* | *' * '*) exit 0 ;; esac
  exit 1
)

find_foreign() {
  [ -n "$own_disks" ] || return 0
  while read -r _ _ number _ mount rest; do
    rest=${rest#*- }
    type=${rest%% *} rest=${rest#* }
    case $number/$type in
      */tmpfs | */ramfs | */rootfs | */devtmpfs | */overlay | */aufs) continue ;;
      0:*/btrfs) IFS= read -r number <"/sys/class/block/$(basename "$(readlink -f "${rest%% *}")")/dev" ;;
    esac
    case $number in 0:*) false ;; *) is_own "$number" ;; esac || printf '%s\n' "$mount"
  done </proc/self/mountinfo 2>/dev/null >"$work/foreign"
}

# Says whether a path lies on a foreign file system, and notes that it was left alone.
is_foreign() {
  [ -s "$work/foreign" ] || return 1
  filesystem_of "$1"
  grep -qxF -e "$longest" "$work/foreign" || return 1
  printf '%s\n' "$longest" >>"$work/left_alone"
}

# --- whose homes -----------------------------------------------------------------------------------------
is_shared() {
  case $1 in
    nfs | nfs4 | cifs | smb3 | smbfs | 9p | virtiofs | ceph | glusterfs | afs | lustre | autofs | fuse*) return 0 ;;
  esac
  return 1
}

filesystem_of() {
  kind='' longest=
  while read -r _ mount type _; do
    case $1/ in
      "${mount%/}/"*) [ ${#mount} -lt ${#longest} ] || longest=$mount kind=$type ;;
    esac
  done </proc/mounts
}

add_home() {
  case $1 in
    / | /bin* | /sbin* | /usr* | /lib* | /dev* | /proc* | /sys* | /run* | /boot* | /etc* | /home | /srv | /opt) return ;;
    /mnt | /media | /tmp | /nonexistent | /var | /var/lib | /var/cache | /var/spool | /var/log | /var/mail) return ;;
    /var/run* | /var/tmp | /var/www | /var/empty | /var/backups) return ;;
    /*) ;;
    *) return ;;
  esac
  add_searched "$1"
}

# A home, or what is searched like one.
add_searched() {
  filesystem_of "$root$1"
  if is_shared "$kind"; then
    printf '%s\n' "$kind" >>"$work/unverified"
  elif [ -d "$root$1/" ] && ! is_foreign "$root$1"; then
    (cd -P "$root$1" && pwd -P) >>"$work/homes"
    case $kind in
      btrfs | zfs | bcachefs | nilfs2 | f2fs | overlay | aufs) printf '%s\n' "$kind" >>"$work/unverified" ;;
    esac
  fi
}

find_homes() {
  add_home /root
  while IFS=: read -r _ _ uid _ _ home shell; do
    case $uid in '' | *[!0-9]*) continue ;; esac
    case ${shell##*/} in
      nologin | false | sync | halt | shutdown | '') case $home in /home/*) ;; *) [ "$uid" -ge 1000 ] || continue ;; esac ;;
    esac
    add_home "$home"
  done <"$root/etc/passwd"
  for folder in "$root"/home/* "$root"/home/.*; do
    case $folder in */. | */..) continue ;; esac
    [ ! -d "$folder" ] || add_home "${folder#"$root"}"
  done
  sed -n '/^#searched/,/^#[^s]/{/^[^#]/p;}' "$work/places" >"$work/searched"
  while IFS= read -r folder; do add_searched "$folder"; done <"$work/searched"
  # find stays on one file system: local ones inside a home are homes of their own.
  while read -r _ mount type _; do
    while IFS= read -r home; do
      case $mount in
        "$home"/*)
          if is_shared "$type"; then
            printf '%s\n' "$type" >>"$work/unverified"
          elif ! is_foreign "$mount"; then
            printf '%s\n' "$mount"
          fi
          ;;
      esac
    done <"$work/homes" >>"$work/homes.inner"
  done </proc/mounts
  sort -u "$work/homes" "$work/homes.inner" >"$work/homes.all"
}

each_home() {
  while IFS= read -r home; do
    (enter "$home/." && "$@")
  done <"$work/homes.all"
}

# --- what goes -------------------------------------------------------------------------------------------
# Does with what find finds here by these words: overwritten, then unlinked; in the second look only counted.
take() {
  set -- . -xdev -mindepth 1 -regextype posix-extended "$@"
  if [ -n "$VMCLONE_LOOK" ]; then
    find "$@" ! -type d -printf 'left\n' >>"$work/left"
    return
  fi
  find "$@" -type f -printf 'gone\n' '(' -links +1 -printf 'linked %i\n' -o -true ')' \
    -execdir sh "$self" overwrite {} + >>"$work/gone"
  find "$@" -delete 2>/dev/null || unprotect "$@"
}

# What is immutable, or lies in a folder that is.
unprotect() {
  find "$@" -execdir chattr -i -a . {} + 2>/dev/null
  find "$@" -delete 2>/dev/null
}

search_names() {
  take '(' \
    '(' -iregex "($never_folder|$never)/.*" ! -iregex "($allow)(/.*)?" ')' -o \
    '(' -iregex "$never_folder" '(' -type d -o -type l ')' ')' -o \
    '(' -iregex "$never" ! -iregex "$except" ')' \
    ')' ! -iregex "$allow" ! -iregex "$git_store"
}

search_texts() {
  set -- . -xdev -mindepth 1 -regextype posix-extended -type f ! -iregex "$allow" \
    ! '(' -iregex "$package_tree" -iregex "$package_code" ')'
  find "$@" -size -2049 ! -path "*$nl*" -exec sh "$self" by_content {} +
  VMCLONE_SEVERAL_LINES=yes find "$@" -size -2049 -path "*$nl*" -exec sh "$self" by_content {} +
  set -- "$@" -iregex "$doubtful_names" ! -iregex "$except" ! -iregex "$describing" ! -iregex "$git_store"
  find "$@" ! -iregex "$armoured" -exec sh "$self" doubtful {} +
  VMCLONE_ARMOURED=yes find "$@" -iregex "$armoured" -exec sh "$self" doubtful {} +
}

search_keys() {
  for file in .ssh/authorized_keys .ssh/authorized_keys2; do
    [ ! -e "$file" ] || erase "./$file"
  done
}

# Keys that sshd reads outside of the homes.
search_keys_elsewhere() {
  for file in "$root"/etc/ssh/sshd_config "$root"/etc/ssh/sshd_config.d/*.conf; do
    [ -r "$file" ] || continue
    while read -r word words; do
      case $word in [Aa]uthorized[Kk]eys[Ff]ile) ;; *) continue ;; esac
      for words in $words; do
        case $words in
          /*%[uU]*) words="${words%%\%[uU]*}*${words##*\%[uU]}" ;;
          /*) ;;
          *) continue ;;
        esac
        for path in $root$words; do
          if { [ -e "$path" ] || [ -L "$path" ]; } && ! is_foreign "$path"; then erase_targets "$path" && erase "$path"; fi
        done
      done
    done <"$file"
  done
}

# Lines of KIND, ARGUMENT, FOLDER and EXPRESSION, parted by the letter 1: what lies in one folder is looked for at once.
# Of FOLDER/** the folders stay, so such expressions stand behind a second letter 1.
awk_places='
BEGIN { one = "\001" }
/^#/ { section = substr($0, 2); kind = section; sub(/ .*/, "", kind); next }
kind == "searched" { next }
kind == "within" { if (!(section in seen)) { seen[section] = 1; print section one "" one "" } next }
{
  count = split($0, parts, "/"); folder = ""; at = 2
  while (at < count && parts[at] !~ /[*?[]/) { folder = folder "/" parts[at]; at++ }
  rest = parts[at]
  for (at++; at <= count; at++) rest = rest "/" parts[at]
  tree = rest == "**" || rest ~ /\/\*\*$/
  gsub(/[.+(){}|^$\\]/, "\\\\&", rest); gsub(/\[!/, "[^", rest)
  gsub(/\*\*\//, "\002", rest); gsub(/\*\*/, "\003", rest); gsub(/\*/, "[^/]*", rest); gsub(/\?/, "[^/]", rest)
  gsub(/\002/, "(.*/)?", rest); gsub(/\003/, ".*", rest)
  key = section one folder
  if (!(key in all)) { order[++last] = key; all[key] = 1 }
  if (tree) trees[key] = trees[key] "|" rest; else plain[key] = plain[key] "|" rest
}
END {
  for (at = 1; at <= last; at++)
    print order[at] one substr(plain[order[at]], 2) one substr(trees[order[at]], 2)
}'

search_places() {
  while IFS=$(printf '\001') read -r section folder plain tree; do
    VMCLONE_EXPRESSION=${section#* }
    case $section in
      within*) each_within "$VMCLONE_EXPRESSION" ;;
      *)
        [ -d "$root$folder/" ] || continue
        ! is_foreign "$root$folder" || continue
        in_real "$root$folder" search_place
        ;;
    esac
  done <"$work/places.found"
}

# In a folder of the list, whose path may lead over a link, such as /var/run; never out of the root.
in_real() {
  (enter "$1/." && "$2") && return
  (cd -P "$1" && pwd -P) >"$work/here"
  IFS= read -r here <"$work/here"
  [ "$here" = "$1" ] || case $here/ in "$root"/*) (enter "$here/." && "$2") ;; esac
}

search_place() {
  plain="[.]/(${plain:-nothing})" tree="[.]/(${tree:-nothing})"
  case $section in
    any)
      search_links
      take '(' -regex "$plain(/.*)?" -o -regex "$tree" ! -type d ')'
      ;;
    files) take '(' -regex "$plain(/.*)?" -o -regex "$tree" ')' ! -type d ;;
    here) take -regex "$plain" ! -type d ;;
    older) take '(' -regex "$plain(/.*)?" -o -regex "$tree" ')' ! -type d ! -newerct "@$boot" ;;
    emptied)
      find . -xdev -regextype posix-extended '(' -regex "$plain(/.*)?" -o -regex "$tree" ')' -type f -size +0 \
        -execdir sh "$self" "${VMCLONE_LOOK:+:}empty" {} + 2>/dev/null
      ;;
    containing*)
      find . -xdev -regextype posix-extended '(' -regex "$plain(/.*)?" -o -regex "$tree" ')' -type f \
        -exec sh "$self" containing {} +
      ;;
    masked*)
      VMCLONE_VALUE=${VMCLONE_EXPRESSION%% *} VMCLONE_EXPRESSION=${VMCLONE_EXPRESSION#* }
      find . -xdev -regextype posix-extended '(' -regex "$plain(/.*)?" -o -regex "$tree" ')' -type f \
        -exec sh "$self" masked {} +
      ;;
  esac
}

search_links() {
  find . -xdev -mindepth 1 -regextype posix-extended '(' -regex "$plain" -o -regex "$tree" ')' -type l \
    -exec sh "$self" erase_targets {} +
}

each_within() {
  names=$(rule within) folders=$(rule within_folder)
  for folder in $1; do
    for path in $root$folder; do
      [ -d "$path/" ] || continue
      in_real "$path" search_within
    done
  done
}

search_within() {
  take '(' -iregex "($names|$folders)/.*" -o -iregex "$names" -o -iregex "$folders" -type d ')'
}

# The same file under another name, wherever in a home.
search_linked() {
  set -- -name ''
  while IFS= read -r inode; do set -- "$@" -o -inum "$inode"; done <"$work/linked.all"
  find . -xdev -mindepth 1 -type f '(' "$@" ')' -exec sh "$self" erase_blank {} +
}

search_all() {
  search_places
  each_home search_names
  each_home search_texts
  each_home search_keys
  search_keys_elsewhere
  [ -z "$VMCLONE_LOOK" ] || return 0
  sed -n 's/^linked //p' "$work/gone" | sort -u >"$work/linked.all"
  [ ! -s "$work/linked.all" ] || each_home search_linked
}

# --- passwords -------------------------------------------------------------------------------------------
# Not "!" for all: an sshd without PAM refuses such an account its keys too.
lock_passwords() {
  for file in "$root/etc/passwd" "$root/etc/shadow" "$root/etc/gshadow"; do
    [ -f "$file" ] || continue
    rm -f "$file.vmclone" "$file.vmclone-old"
    cp -p "$file" "$file.vmclone"
    while IFS= read -r line; do
      rest=${line#*:}
      hash=${rest%%:*}
      case ${file##*/}:$hash in
        gshadow: | passwd:x | *:'!' | *:'!!' | *:'*' | *:'!*') ;;
        *:'!'*) line="${line%%:*}:!:${rest#*:}" ;;
        *) line="${line%%:*}:*:${rest#*:}" ;;
      esac
      printf '%s\n' "$line"
    done <"$file" >"$file.vmclone"
    if cmp -s "$file" "$file.vmclone"; then
      rm -f "$file.vmclone"
      continue
    fi
    ln "$file" "$file.vmclone-old"
    mv -f "$file.vmclone" "$file"
    erase "$file.vmclone-old"
  done
}

count() {
  number=0
  while read -r word; do [ "$word" != "$1" ] || number=$((number + 1)); done <"$work/$1"
}

answer() {
  problem=$1
  count gone
  echo scrub_engine=posix
  if [ -z "$problem" ]; then echo scrub_state=done; else echo scrub_state=failed; fi
  echo "scrub_files=$number"
  count left
  echo "scrub_left=$number"
  sort -u "$work/unverified" | while IFS= read -r kind; do echo "scrub_unverified=$kind"; done
sort -u "$work/left_alone" | while IFS= read -r path; do echo "scrub_left_alone=$path"; done
  [ -z "$problem" ] || echo "scrub_error=$problem"
}

if ! proves_itself; then
  answer "this guest has neither python3 nor GNU find, grep and dd: install python3"
  exit 0
fi
boot=0
while read -r word value _; do [ "$word" != btime ] || boot=$value; done </proc/stat
find_foreign
find_homes
awk "$awk_places" "$work/places" >"$work/places.found"
for _ in 1 2 3; do
  : >"$work/left"
  VMCLONE_LOOK=''
  search_all
  lock_passwords
  VMCLONE_LOOK=yes
  search_all
  [ -s "$work/left" ] || break
done
problem=
[ ! -s "$work/left" ] || problem='what should have gone is still there'
[ ! -s "$work/failed" ] || IFS= read -r problem <"$work/failed"
answer "$problem"
