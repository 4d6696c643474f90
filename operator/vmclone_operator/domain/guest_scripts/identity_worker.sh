# Gives this clone its own identity, as root, in a unit of its own, in a quarantined boot. It may be killed
# anywhere and then runs again from the beginning, so each step ends in the same state however often it runs.
# A process costs 0.1 s and up in an emulated guest: builtins first, one systemctl for all restarts.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 022
run=/run/vmclone/identity
lib=/var/lib/vmclone/identity
token='' hostname='' user='' keys='' before='' made='' finished=''

# --- records -------------------------------------------------------------------------------------------
record() {
  {
    echo "identity_token=$token"
    echo "identity_state=$1"
    [ -z "$2" ] || echo "identity_error=$2"
    [ ! -r "$lib/previous" ] || while IFS= read -r line; do
      case $line in token=*) ;; *) echo "$line" ;; esac
    done <"$lib/previous"
    [ -z "$made" ] || echo "made_ssh_host_key=$made"
  } >"$lib/result.new"
  sync
  mv -f "$lib/result.new" "$lib/result"
  finished=yes
}

fail() {
  record failed "$1"
  exit 1
}

unexpected_end() {
  [ -n "$finished" ] || record failed "the identity reset ended before it was done"
}

first_line() {
  value=
  [ ! -r "$1" ] || IFS= read -r value <"$1" || :
}

active() {
  [ -d "/sys/fs/cgroup/system.slice/$1" ] || [ -d "/sys/fs/cgroup/systemd/system.slice/$1" ]
}

read_parameters() {
  while IFS= read -r line; do
    case $line in
      token=*) token=${line#*=} ;;
      hostname=*) hostname=${line#*=} ;;
      user=*) user=${line#*=} ;;
      key=*) keys="$keys${line#*=}
" ;;
    esac
  done <"$run/parameters"
}

# The first attempt of a token sees the source's values; a repeat sees half of ours and keeps what is there.
save_previous() {
  first_line "$lib/previous"
  [ "$value" != "token=$token" ] || return 0
  first_line /etc/machine-id
  before=$value
  vm_own_id
  {
    echo "token=$token"
    # A source with an empty machine-id: this boot already took the VM's own.
    [ "$before" = "$own" ] || echo "previous_machine_id=$before"
    for file in /etc/ssh/ssh_host_*_key.pub; do
      [ -r "$file" ] && read -r kind key _ <"$file" && echo "previous_ssh_host_key=$kind $key"
    done
  } >"$lib/previous.new"
  mv -f "$lib/previous.new" "$lib/previous"
}

# The id that systemd derives from the hypervisor's UUID of this VM: 32 hex digits without the dashes.
vm_own_id() {
  own=
  first_line /sys/class/dmi/id/product_uuid
  rest=$value-
  while [ -n "$rest" ]; do
    own=$own${rest%%-*}
    rest=${rest#*-}
  done
}

# --- the values ----------------------------------------------------------------------------------------
# Truncated, never removed: without the file some distributions do not boot. D-Bus's own copy comes first
# because systemd-machine-id-setup would take the old id back from it.
new_machine_id() {
  if [ -d /var/lib/dbus ] && [ ! -L /var/lib/dbus/machine-id ]; then
    rm -f /var/lib/dbus/machine-id
    ln -s /etc/machine-id /var/lib/dbus/machine-id
  fi
  : >/etc/machine-id || fail "/etc/machine-id cannot be written"
  systemd-machine-id-setup >/dev/null 2>&1 || fail "systemd-machine-id-setup failed"
  first_line /etc/machine-id
  [ "${#value}" = 32 ] || fail "systemd-machine-id-setup left no machine-id"
  machine_id=$value
}

new_hostname() {
  echo "$hostname" >/etc/hostname
  echo "$hostname" >/proc/sys/kernel/hostname || fail "the kernel refused the hostname"
  if [ -f /etc/hosts ]; then
    named=
    while IFS= read -r line || [ -n "$line" ]; do
      case $line in
        127.0.1.1[[:space:]]*)
          [ -n "$named" ] || echo "127.0.1.1 $hostname"
          named=yes
          ;;
        *) printf '%s\n' "$line" ;;
      esac
    done </etc/hosts >/etc/hosts.vmclone
    grep -q '^127\.0\.1\.1' /etc/hosts.vmclone || echo "127.0.1.1 $hostname" >>/etc/hosts.vmclone
    mv -f /etc/hosts.vmclone /etc/hosts
  fi
}

# Before any key is made. Writing credits no entropy, it only makes equal pools differ.
fresh_randomness() {
  first_line /sys/class/dmi/id/product_uuid
  printf '%s' "$token$value" >/dev/urandom
  if [ -e /var/lib/systemd/random-seed ]; then
    head -c 512 /dev/urandom >/var/lib/systemd/random-seed
  fi
  rm -f /boot/loader/random-seed /boot/efi/loader/random-seed /efi/loader/random-seed
}

# One ed25519 key: all kinds cost 10 s in an emulated guest. A configuration that names its keys gets one
# where it looks for it, else sshd would start without any.
new_host_key() {
  [ -x /usr/sbin/sshd ] || return 0
  named='' target=''
  for file in /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf; do
    [ -r "$file" ] || continue
    while read -r word path _; do
      case $word in
        [Hh][Oo][Ss][Tt][Kk][Ee][Yy])
          named=$path
          case $path in *ed25519*) target=$path ;; esac
          rm -f "$path" "$path.pub"
          ;;
      esac
    done <"$file"
  done
  target=${target:-${named:-/etc/ssh/ssh_host_ed25519_key}}
  rm -f /etc/ssh/ssh_host_*
  ssh-keygen -q -t ed25519 -N '' -C "root@$hostname" -f "$target" </dev/null || fail "ssh-keygen failed"
  read -r kind key _ <"$target.pub"
  made="$kind $key"
}

forget_network() {
  for unit in systemd-networkd.service NetworkManager.service; do
    # A daemon that holds a lease would write it back when it ends.
    if active "$unit" && [ -n "$(ls /run/systemd/netif/leases /var/lib/NetworkManager/*.lease 2>/dev/null)" ]; then
      systemctl stop "$unit"
    fi
  done
  rm -rf /var/lib/systemd/network/* /run/systemd/netif/leases/* /var/lib/dhcp/*.lease* /var/lib/dhclient/* \
    /var/lib/dhcpcd/*.lease* /var/lib/dhcpcd/duid /var/lib/dhcpcd/secret /etc/dhcpcd.duid /etc/dhcpcd.secret \
    /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key /var/lib/NetworkManager/timestamps \
    /etc/udev/rules.d/70-persistent-net.rules
  for file in /etc/sysconfig/network-scripts/ifcfg-* /etc/NetworkManager/system-connections/*.nmconnection; do
    [ ! -f "$file" ] || sed -i -e '/^HWADDR=/d' -e '/^mac-address=/d' "$file"
  done
}

# The instance of this boot is the clone's own (its seed is ours); every other one is the source's.
forget_cloud_init() {
  [ -d /var/lib/cloud/instances ] || return 0
  current=$(readlink -f /var/lib/cloud/instance) || current=
  for instance in /var/lib/cloud/instances/*; do
    [ "$instance" = "$current" ] || rm -rf "$instance"
  done
  rm -f /var/lib/cloud/data/previous-*
}

# Replaces: nobody whom the source let in gets into the clone. Renaming never follows a link of the user's.
install_keys() {
  [ -n "$keys" ] || return 0
  home=''
  while IFS=: read -r name _ uid gid _ directory _; do
    [ "$name" != "$user" ] || { home=$directory && break; }
  done </etc/passwd
  [ -n "$home" ] || fail "the guest has no user $user"
  [ ! -L "$home/.ssh" ] || rm -f "$home/.ssh"
  if ! mkdir -p "$home/.ssh" || ! chmod 0700 "$home/.ssh"; then
    fail "$home/.ssh cannot be made"
  fi
  rm -f "$home/.ssh/authorized_keys.vmclone" "$home/.ssh/authorized_keys2"
  (umask 077 && printf '%s' "$keys" >"$home/.ssh/authorized_keys.vmclone") || fail "$home/.ssh cannot be written"
  chown -h "$uid:$gid" "$home/.ssh" "$home/.ssh/authorized_keys.vmclone"
  mv -f "$home/.ssh/authorized_keys.vmclone" "$home/.ssh/authorized_keys"
}

label_files() {
  [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null || return 0
  restorecon -R /etc/machine-id /etc/hostname /etc/hosts /etc/ssh ${home:+"$home/.ssh"} >/dev/null 2>&1 || :
}

# --- the daemons that hold the old values ----------------------------------------------------------------
# After journald was restarted: the old one makes a deleted file anew under the old id.
forget_journal() {
  for directory in /var/log/journal/* /run/log/journal/*; do
    case ${directory##*/} in
      "$machine_id"*) ;;
      *) rm -rf "$directory" ;;
    esac
  done
}

restart_daemons() {
  set -- systemd-journald.service
  for unit in systemd-networkd.service NetworkManager.service rsyslog.service ssh.service sshd.service; do
    ! active "$unit" || set -- "$@" "$unit"
  done
  # A stopped daemon (it held a lease) has no group any more but is wanted at boot.
  for unit in systemd-networkd.service NetworkManager.service ssh.service sshd.service; do
    [ ! -e "/etc/systemd/system/multi-user.target.wants/$unit" ] || set -- "$@" "$unit"
  done
  systemctl restart "$@" || fail "restarting $* failed"
  # dhclient (ifupdown) keeps its identity in memory.
  if active networking.service; then systemctl restart --no-block networking.service; fi
}

# Waits for a network that the quarantine withheld: their failure says nothing about the clone.
forgive_network_waits() {
  systemctl reset-failed '*-wait-online.service' '*-wait-online@*.service' 2>/dev/null || :
}

# PID 1 remembers the id once it was asked for it; only a new image of itself forgets.
refresh_system_manager() {
  answer=$(busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.DBus.Peer GetMachineId 2>/dev/null)
  [ "$answer" = "s \"$machine_id\"" ] || systemctl daemon-reexec
}

trap unexpected_end EXIT
trap 'exit 1' TERM INT HUP
read_parameters
save_previous
fresh_randomness
new_machine_id
new_hostname
new_host_key
forget_network
forget_cloud_init
install_keys
label_files
restart_daemons
forget_journal
forgive_network_waits
refresh_system_manager
echo "this clone has its own identity"
record 'done' ''
