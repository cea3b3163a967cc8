"""The way out to the external email service: one attempt over HTTP or SMTP, behind a circuit breaker."""

from service.adapters.email.circuit import CircuitBreakingEmailService
from service.adapters.email.direct import DirectEmailService
from service.adapters.email.http import HttpEmailService

__all__ = ["CircuitBreakingEmailService", "DirectEmailService", "HttpEmailService"]
