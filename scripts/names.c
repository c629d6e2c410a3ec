/* Linked into the static program, before anything else in it runs: names are looked up in /etc/hosts and by DNS alone.
 *
 * glibc's resolver otherwise loads whatever modules /etc/nsswitch.conf of the machine names. Into a static program it
 * loads them together with a second glibc, and where that one is of another version the program dies of SIGFPE at the
 * first name that it looks up (seen with 2.36 inside and libnss_myhostname of 2.41 outside). What these two lines leave
 * is built into the program. systemd-resolved is still asked where it is in use, because /etc/resolv.conf names it. */

#include <nss.h>

__attribute__((constructor)) static void look_up_names_without_modules(void)
{
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
}
