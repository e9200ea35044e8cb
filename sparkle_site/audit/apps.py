from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "sparkle_site.audit"
    label = "sparkle_audit"
    verbose_name = "Audit"
